//! The composition root: the one place that knows every adapter and joins them to the ports.
//!
//! The brokers go into the guard and nowhere else; the runtime gets guarded calls only. Neither side can go around the check.

use std::{path::Path, sync::Arc};

use sandboxer_brokers::Brokers;
use sandboxer_guard::{Guard, component::digest, key::InstallationKey, ledger::LedgerSealer};
use sandboxer_model::{Error, ErrorCode, Result, id::Digest, ports::milestones::Milestones};
use sandboxer_runtime::{CompilerCommand, Components, Limits, Runtime};
use sandboxer_service::{Service, Shelf, worker};
use sandboxer_store::SqliteStore;

use crate::{bundled::BUNDLED, catalog::BundledCatalog, crash_points, settings::Settings, shelf::ComponentShelf};

/// Components for the runtime: those that the binary carries, and those that are kept.
struct KnownComponents(ComponentShelf);

impl Components for KnownComponents {
    fn bytes(&self, wanted: &Digest) -> Result<Arc<[u8]>, String> {
        if let Ok(kept) = self.0.bytes(wanted) {
            return Ok(Arc::from(kept));
        }
        BUNDLED
            .iter()
            .find(|bundled| digest(bundled.component) == *wanted)
            .map(|bundled| Arc::from(bundled.component))
            .ok_or_else(|| format!("the component {wanted} is not kept here"))
    }
}

/// The brokers alone, for verbs that look at hosts and need no store.
pub(crate) fn brokers(settings: &Settings) -> Result<Arc<Brokers>> {
    Ok(Arc::new(Brokers::new(sandboxer_brokers::Settings::from_user(settings.connections())?)?))
}

/// Everything.
pub(crate) async fn service(settings: &Settings) -> Result<Arc<Service>> {
    private_directory(&settings.data_dir)?;
    let milestones: Arc<dyn Milestones> = crash_points::milestones();
    let key = Arc::new(InstallationKey::load_or_create(&settings.key()).map_err(|error| {
        Error::new(ErrorCode::StoreUnavailable, format!("{error}{}", cause(&error))).because(error)
    })?);
    let sealer = Arc::new(LedgerSealer::new(Arc::clone(&key)));
    let store = SqliteStore::open(&settings.store(), sealer, Arc::clone(&milestones))
        .map_err(sandboxer_service::store_error)?;
    let store = Arc::new(store);
    let brokers = brokers(settings)?;
    let guard = Arc::new(Guard::new(Arc::clone(&store) as _, Arc::clone(&brokers) as _, milestones));
    let shelf = ComponentShelf { dir: settings.components() };
    let program = std::env::current_exe()
        .map_err(|error| Error::new(ErrorCode::Internal, "the sandboxer binary cannot find itself").because(error))?;
    let runtime = Runtime::new(
        sandboxer_runtime::Settings {
            cache: settings.compiled(),
            compiler: CompilerCommand { program, args: vec!["compile-component".to_owned()] },
            limits: Limits::default(),
        },
        Arc::new(KnownComponents(shelf.clone())),
        Arc::clone(&key),
    )
    .map_err(|error| {
        Error::new(ErrorCode::ConfigInvalid, format!("{error}{}", cause(&error)))
            .hint("correct the directory, or point SANDBOXER_CACHE_DIR somewhere else; `sandboxer doctor` checks it")
            .because(error)
    })?;
    Ok(Arc::new(Service {
        store,
        guard,
        extensions: Arc::new(runtime),
        hosts: brokers,
        catalog: Arc::new(BundledCatalog),
        shelf: Arc::new(shelf),
        key,
        worker: worker::this_process(),
        default_host: settings.default_host.clone(),
    }))
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

/// Makes the data directory for its owner alone.
fn private_directory(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        let code = if error.raw_os_error() == Some(28) { ErrorCode::StoreFull } else { ErrorCode::StoreUnavailable };
        Error::new(code, format!("the data directory {} cannot be made: {error}", dir.display())).because(error)
    })
}
