//! The pages of the repository say what the program does.

use std::fs;
use std::path::Path;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// `QUANTIZE_BLESS=1 cargo test --test it docs::` writes the page anew.
#[test]
fn the_reference_of_keys_is_that_of_the_code() {
    let now = quantize::config::reference::markdown();
    if std::env::var_os("QUANTIZE_BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md"), &now).unwrap();
    }
    assert_eq!(page("docs/configuration.md"), now, "QUANTIZE_BLESS=1 accepts the new page");
}

#[test]
fn the_readme_names_every_command() {
    use clap::CommandFactory;
    let readme = page("README.md");
    for command in quantize::cli::args::Cli::command().get_subcommands() {
        let line = format!("quantize {}", command.get_name());
        assert!(readme.contains(&line), "README.md lacks `{line}`");
    }
}

/// Links of the form `](path)` lead to files of the repository.
#[test]
fn links_lead_somewhere() {
    for name in ["README.md", "ARCHITECTURE.md", "docs/debugging.md", "docs/adding.md", "docs/bench.md"] {
        let text = page(name);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).parent().unwrap().to_path_buf();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !link.contains("://") {
                assert!(folder.join(path).exists(), "{name}: {link}");
            }
        }
    }
}

/// The rooms that ARCHITECTURE.md draws are those of the crate.
#[test]
fn the_map_shows_every_room() {
    let map = page("ARCHITECTURE.md");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = entry.unwrap().path();
        let room = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && room != "testing" {
            assert!(map.contains(&format!("| `{room}` |")), "ARCHITECTURE.md lacks `{room}`");
        }
    }
}
