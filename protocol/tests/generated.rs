//! The generated code is committed, so that a build needs no protobuf compiler, and guarded here.
//!
//! After a change to a `.proto` file: `UPDATE_GENERATED=1 cargo test -p blackhole-protocol`.

use std::{fs, path::Path};

#[test]
fn generated_code_matches_the_definitions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let include = root.join("proto");
    let definitions = definitions_below(&include);
    let mut compiler = protox::Compiler::new([&include]).expect("the include folder exists");
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&definitions).expect("the definitions compile");

    let fresh = tempfile::tempdir().expect("a temporary directory");
    tonic_prost_build::configure()
        .out_dir(fresh.path())
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())
        .expect("code is generated");
    compiler.include_source_info(false);
    // Re-encoding a prost `FileDescriptorSet` would drop the options that extensions define.
    fs::write(fresh.path().join("descriptors.bin"), compiler.encode_file_descriptor_set())
        .expect("the descriptors are written");

    let committed = root.join("src/generated");
    for entry in fs::read_dir(fresh.path()).expect("the fresh folder is readable") {
        let fresh_file = entry.expect("an entry").path();
        let name = fresh_file.file_name().expect("a file name").to_owned();
        if name.to_string_lossy().starts_with("google.") {
            continue;
        }
        let text = fs::read(&fresh_file).expect("the fresh file is readable");
        let committed_file = committed.join(&name);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&committed_file, &text).expect("the generated file is written");
        }
        assert!(
            fs::read(&committed_file).ok() == Some(text),
            "{} is out of date: run `UPDATE_GENERATED=1 cargo test -p blackhole-protocol`",
            committed_file.display(),
        );
    }
}

fn definitions_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(definitions_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    found
}
