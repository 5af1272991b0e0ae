//! `cp`: files into and out of a sandbox, as a tar stream through the adapter's own exec.
//!
//! Inside, `tar` runs where the sandbox's programs run, so a symbolic link that one of them planted leads nowhere else than
//! they could go themselves. Outside, what comes is untrusted and is unpacked beneath one directory handle.

use std::path::{Path, PathBuf};

use sandboxer_brokers::workspace::{PackOptions, UnpackOptions, Unpacker, pack};
use sandboxer_guard::{access::Access, broker::Transferred, host_work::last_line};
use sandboxer_model::{
    Error, ErrorCode, Result,
    call::{ExecRequest, Exit},
    ports::stream::Chunk,
    sandbox::Sandbox,
};
use sandboxer_service::{Service, exec::stream_error};
use serde::Serialize;

use super::{cancel_on_signals, compose};
use crate::{args::Cp, output::Printer, settings::Settings};

/// Unpacks beside the target and moves it into place, so that a broken transfer leaves the target as it was.
const TAKE: &str = r#"
target=$1 name=$2
if [ -d "$target" ]; then target=${target%/}/$name; fi
case $target in */) echo "there is no directory $target" >&2; exit 3 ;; esac
parent=$(dirname -- "$target")
[ -d "$parent" ] || { echo "there is no directory $parent" >&2; exit 3; }
draft=$(mktemp -d "$parent/.cp.XXXXXX") || exit 3
trap 'rm -rf "$draft"' EXIT
tar -x -p --no-same-owner -f - -C "$draft" || exit 4
if [ -d "$draft/payload" ] && [ -d "$target" ]; then
  cp -a "$draft/payload/." "$target/"
else
  mv -f -T -- "$draft/payload" "$target"
fi"#;

/// Packs one path under its last name.
const GIVE: &str = r#"
case $1 in . | ./) set -- "$PWD" ;; esac
path=${1%/}
[ -e "$path" ] || [ -L "$path" ] || { echo "there is no $path" >&2; exit 3; }
cd -- "$(dirname -- "$path")" && exec tar -c -f - -- "$(basename -- "$path")""#;

#[derive(Serialize)]
struct Copied {
    from: String,
    to: String,
    entries: u64,
    bytes: u64,
}

enum Place<'a> {
    Here(&'a str),
    Inside { sandbox: &'a str, path: &'a str },
}

/// `SANDBOX:PATH`, unless what stands before the colon looks like a path.
fn place(text: &str) -> Place<'_> {
    match text.split_once(':') {
        Some((sandbox, path)) if !sandbox.is_empty() && !sandbox.contains('/') && !sandbox.starts_with('.') => {
            Place::Inside { sandbox, path: if path.is_empty() { "." } else { path } }
        }
        Some(_) | None => Place::Here(text),
    }
}

pub(super) async fn run(args: &Cp, settings: &Settings, printer: Printer) -> Result<u8> {
    let cancel = cancel_on_signals("stopped")?;
    let work = async {
        match (place(&args.source), place(&args.target)) {
            (Place::Here(from), Place::Inside { sandbox, path }) => {
                let service = compose::service(settings).await?;
                let sandbox = service.find(sandbox).await?;
                put(&service, &sandbox, Path::new(from), path, args.ignored, settings).await
            }
            (Place::Inside { sandbox, path }, Place::Here(to)) => {
                let service = compose::service(settings).await?;
                let sandbox = service.find(sandbox).await?;
                get(&service, &sandbox, path, Path::new(to), settings).await
            }
            (Place::Here(_), Place::Here(_)) => {
                Err(Error::new(ErrorCode::UsageInvalid, "neither place is in a sandbox")
                    .hint("write SANDBOX:PATH for the one that is; see `sandboxer cp --help`"))
            }
            (Place::Inside { .. }, Place::Inside { .. }) => {
                Err(Error::new(ErrorCode::UsageInvalid, "both places are in a sandbox")
                    .hint("copy out of the one and then into the other; see `sandboxer cp --help`"))
            }
        }
    };
    let moved = tokio::select! {
        moved = work => moved?,
        () = cancel.cancelled() => return Err(Error::new(ErrorCode::Cancelled, "the copy was cancelled")),
    };
    let copied =
        Copied { from: args.source.clone(), to: args.target.clone(), entries: moved.entries, bytes: moved.bytes };
    printer.result(
        &copied,
        |_| Vec::new(),
        |copied| {
            format!("copied {} to {} ({} entries, {} bytes)", copied.from, copied.to, copied.entries, copied.bytes)
        },
    )?;
    Ok(0)
}

async fn start(
    service: &Service,
    sandbox: &Sandbox,
    script: &str,
    args: &[&str],
    settings: &Settings,
) -> Result<Access> {
    let mut argv = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), "cp".to_owned()];
    argv.extend(args.iter().map(|arg| (*arg).to_owned()));
    let request = ExecRequest { argv, env: Vec::new(), cwd: None, tty: false };
    service.exec(sandbox, &request, None, settings.actor).await
}

async fn put(
    service: &Service,
    sandbox: &Sandbox,
    from: &Path,
    to: &str,
    everything: bool,
    settings: &Settings,
) -> Result<Transferred> {
    let source = from.canonicalize().map_err(|error| {
        Error::new(ErrorCode::FileUnusable, format!("`{}` cannot be read: {error}", from.display())).because(error)
    })?;
    let name = source.file_name().and_then(|name| name.to_str()).unwrap_or("root").to_owned();
    let options = PackOptions { everything, name: Some("payload".to_owned()) };
    let mut packing = pack(&source, options).await?;
    let Access { mut input, control: _control, mut output } =
        start(service, sandbox, TAKE, &[to, &name], settings).await?;
    let mut stderr = Vec::new();
    let feeding = async {
        while let Some(chunk) = packing.next().await {
            // It stopped reading: its exit status and message say why.
            if input.write(&chunk).await.is_err() {
                break;
            }
        }
        if !packing.failed() {
            drop(input.close().await);
        }
        packing
    };
    tokio::pin!(feeding);
    let mut packed = None;
    let exit = loop {
        tokio::select! {
            done = &mut feeding, if packed.is_none() => {
                if done.failed() {
                    // Ending the stream here would look like a whole archive; stopping the command leaves the target as it was.
                    output.abandon().await.map_err(stream_error)?;
                    done.finish().await?;
                    return Err(Error::new(ErrorCode::TransferFailed, "the files could not be packed"));
                }
                packed = Some(done);
            }
            chunk = output.next() => match chunk.map_err(stream_error)? {
                Chunk::Stdout(_) => {}
                Chunk::Stderr(bytes) => stderr.extend(bytes.into_iter().take(4096)),
                Chunk::Ended(exit) => break exit,
            },
        }
    };
    ended_well(exit, &stderr)?;
    match packed {
        Some(packed) => Ok(packed.finish().await?),
        None => Err(Error::new(ErrorCode::TransferFailed, "the sandbox stopped taking the files")),
    }
}

async fn get(service: &Service, sandbox: &Sandbox, from: &str, to: &Path, settings: &Settings) -> Result<Transferred> {
    let (directory, top) = destination(to)?;
    let mut unpacker = Unpacker::new(&directory, UnpackOptions { top, ..UnpackOptions::default() })?;
    let Access { mut input, control: _control, mut output } = start(service, sandbox, GIVE, &[from], settings).await?;
    drop(input.close().await);
    let mut stderr = Vec::new();
    loop {
        match output.next().await.map_err(stream_error)? {
            Chunk::Stdout(bytes) => {
                if unpacker.feed(bytes).await.is_err() {
                    output.abandon().await.map_err(stream_error)?;
                    unpacker.finish().await?;
                    return Err(Error::new(ErrorCode::TransferFailed, "the archive could not be unpacked"));
                }
            }
            Chunk::Stderr(bytes) => stderr.extend(bytes.into_iter().take(4096)),
            Chunk::Ended(exit) => {
                ended_well(exit, &stderr)?;
                return Ok(unpacker.finish().await?);
            }
        }
    }
}

/// The directory to unpack beneath, and the name to give; like `cp`: into a directory that is there, or under a new name.
fn destination(to: &Path) -> Result<(PathBuf, Option<String>)> {
    if to.is_dir() {
        return Ok((to.to_owned(), None));
    }
    let unusable =
        |why: &str| Error::new(ErrorCode::FileUnusable, format!("`{}` cannot be written: {why}", to.display()));
    let name = to.file_name().and_then(|name| name.to_str()).ok_or_else(|| unusable("it has no name in UTF-8"))?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    if !parent.is_dir() {
        return Err(unusable(&format!("there is no directory `{}`", parent.display())));
    }
    Ok((parent, Some(name.to_owned())))
}

fn ended_well(exit: Exit, stderr: &[u8]) -> Result<()> {
    if exit.success() {
        return Ok(());
    }
    Err(Error::new(ErrorCode::TransferFailed, format!("the copy ended with {exit} inside: {}", last_line(stderr))))
}
