//! What every adapter of the store port must do, as functions over any [`Store`]: an adapter's suite makes a
//! [`Fixture`] and calls [`everything`], and passes exactly when it keeps the port's promises.

pub mod access;
pub mod fencing;
pub mod life;
pub mod machine;
pub mod querying;
pub mod sample;

use sandboxer_model::{
    ledger::{Body, Entry, Head},
    ports::store::Store,
};

/// An adapter on fresh state.
pub trait Fixture: Send + Sync {
    /// The adapter.
    type Store: Store + 'static;

    /// Another handle on the same state, as another process would have it.
    fn store(&self) -> Self::Store;

    /// Verifies a chain against its head with the key that the store was made with.
    fn verify(&self, entries: &[Entry], head: Option<&Head>) -> Vec<Body>;
}

/// Runs every promise, each on fresh state.
pub async fn everything<F: Fixture>(fresh: impl Fn() -> F) {
    life::opening_writes_all_or_nothing(&fresh()).await;
    life::a_name_is_taken_while_its_holder_lives(&fresh()).await;
    life::a_whole_life_is_told_in_order(&fresh()).await;
    life::nothing_is_destroyed_while_something_is_left(&fresh()).await;
    life::each_method_takes_only_its_own_entries(&fresh()).await;
    life::notes_are_bounded(&fresh()).await;
    life::resources_stay_where_they_are(&fresh()).await;
    fencing::beginning_answers_as_documented(&fresh()).await;
    fencing::a_lease_ends_early_only_for_its_owner(&fresh()).await;
    fencing::a_lease_is_renewed_only_while_it_runs(&fresh()).await;
    fencing::a_claim_that_does_not_hold_changes_nothing(&fresh()).await;
    fencing::one_of_many_takes_over(&fresh()).await;
    access::only_a_ready_and_wanted_sandbox_is_accessible(&fresh()).await;
    access::an_unwanted_create_may_only_say_what_it_did(&fresh()).await;
    access::denials_and_outcomes_are_written_until_the_chain_is_closed(&fresh()).await;
    access::chains_stay_whole_under_concurrency(&fresh()).await;
    querying::finding_takes_text_literally(&fresh()).await;
    querying::listing_filters_and_pages(&fresh()).await;
    querying::events_page_in_order(&fresh()).await;
}
