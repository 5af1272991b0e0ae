//! What wasmtime makes of the WIT package. The two worlds are bound apart, because `access` is optional: the second adds
//! only the export, and shares the first one's types.

#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    clippy::pedantic,
    clippy::restriction,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the unsafe in it implements wasmtime's own marker traits for plain records"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "extension",
    imports: {
        "sandboxer:extension/progress.log": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: {
        "sandboxer:extension/ssh.session": crate::imports::ssh::Session,
        "sandboxer:extension/ssh.job": crate::imports::ssh::Job,
    },
    trappable_error_type: {
        "sandboxer:extension/types.error" => crate::imports::Refusal,
    },
});

pub mod entered {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package sandboxer:runtime;
            world entered {
                export sandboxer:extension/access@0.1.0;
            }
        ",
        world: "sandboxer:runtime/entered",
        exports: { default: async },
        with: {
            "sandboxer:extension/types@0.1.0": crate::bindings::sandboxer::extension::types,
        },
    });
}
