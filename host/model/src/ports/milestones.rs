//! Named points at which a process may die. Production ignores them; the crash tests trace them and stop at each.

/// Told whenever a durable or outward step begins or ends.
pub trait Milestones: Send + Sync {
    /// `point` was reached: `guard.pass host.run.before`, `store.commit intend.after`.
    fn reached(&self, point: &str);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Milestones for Unobserved {
    fn reached(&self, _point: &str) {}
}
