//! What `wit-bindgen` makes of the WIT package. Lifecycle and access are bound apart, so that an adapter whose sandboxes
//! cannot be entered exports no empty `access`.

#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::pedantic,
    clippy::restriction,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "extension",
    pub_export_macro: true,
    export_macro_name: "export_lifecycle",
    generate_all,
});

pub mod access {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package sandboxer:sdk;
            world entered {
                export sandboxer:extension/access@0.1.0;
            }
        ",
        world: "sandboxer:sdk/entered",
        pub_export_macro: true,
        export_macro_name: "export_access",
        with: {
            "sandboxer:extension/types@0.1.0": crate::bindings::sandboxer::extension::types,
        },
        generate_all,
    });
}
