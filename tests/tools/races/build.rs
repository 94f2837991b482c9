//! Sets the `cfg`s of the engine's sources, which do not use the features of this package.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (feature, cfg) in [("LOOM", "loom"), ("SHUTTLE", "shuttle"), ("THREADS", "visible_locks")] {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        if std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some() {
            println!("cargo::rustc-cfg={cfg}");
        }
    }
}
