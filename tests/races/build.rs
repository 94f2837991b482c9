//! Tells the engine's sources, which know no feature of this package, which checker they are compiled for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for checker in ["loom", "shuttle"] {
        println!("cargo::rustc-check-cfg=cfg({checker})");
        if std::env::var_os(format!("CARGO_FEATURE_{}", checker.to_uppercase())).is_some() {
            println!("cargo::rustc-cfg={checker}");
        }
    }
}
