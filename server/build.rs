//! Links the binary at a fixed address: an executable that may lie anywhere has 345,000 addresses to fix
//! whenever it starts, which took longer than a statement (DESIGN.md).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-no-pie");
}
