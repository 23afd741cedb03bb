//! Image archives: an OCI layout in a tar file, with Docker's `manifest.json` beside it.
//!
//! Facts are those of the OCI image specification 1.1 (layout, index, manifest, configuration). containerd and kind take
//! an image's name from the annotation `io.containerd.image.name`, skopeo its tag from
//! `org.opencontainers.image.ref.name`, Docker the name from `manifest.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use tar::{Builder, Header};

use super::Image;
use crate::digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Writes images into one archive and returns the digests of their manifests, in the same order.
pub(crate) fn write(file: &Path, images: Vec<Image>) -> anyhow::Result<Vec<String>> {
    let mut layout = Layout::default();
    for image in images {
        layout.add(image)?;
    }
    let digests = layout.digests();
    let bytes = layout.tar().context("cannot write an image archive")?;
    // Beside and renamed, so that no one reads half an archive.
    let beside = file.with_added_extension("new");
    std::fs::write(&beside, bytes).with_context(|| format!("cannot write {}", beside.display()))?;
    std::fs::rename(&beside, file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(digests)
}

/// What an archive holds.
#[derive(Debug, Default)]
struct Layout {
    /// By digest; images that share a layer share its blob.
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
    docker: Vec<Value>,
}

impl Layout {
    fn add(&mut self, image: Image) -> anyhow::Result<()> {
        let Image { reference, entrypoint, user, environment, labels, created, layer } = image;
        let layer = layer.pack()?;
        let platform = json!({ "architecture": architecture(), "os": "linux" });
        let config = self.put(text(&json!({
            "architecture": platform["architecture"],
            "os": platform["os"],
            "created": created,
            "config": {
                "User": user,
                "Entrypoint": entrypoint,
                "Env": environment,
                "WorkingDir": "/",
                "Labels": labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.diff)] },
            "history": [{ "created": created, "created_by": "cargo xtask image" }],
        })));
        let layers = json!([{
            "mediaType": layer.media_type,
            "digest": format!("sha256:{}", layer.digest),
            "size": layer.bytes.len(),
        }]);
        self.docker.push(json!({
            "Config": blob_path(&config.0),
            "RepoTags": [reference.to_string()],
            "Layers": [blob_path(&layer.digest)],
        }));
        self.blobs.insert(layer.digest, layer.bytes);
        let manifest = self.put(text(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": format!("sha256:{}", config.0), "size": config.1 },
            "layers": layers,
            "annotations": labels,
        })));
        self.manifests.push(json!({
            "mediaType": MANIFEST,
            "digest": format!("sha256:{}", manifest.0),
            "size": manifest.1,
            "platform": platform,
            "annotations": {
                "io.containerd.image.name": reference.to_string(),
                "org.opencontainers.image.ref.name": reference.tag(),
            },
        }));
        Ok(())
    }

    /// Adds a blob; its digest and size.
    fn put(&mut self, bytes: Vec<u8>) -> (String, usize) {
        let digest = digest::sha256(&bytes);
        let size = bytes.len();
        self.blobs.insert(digest.clone(), bytes);
        (digest, size)
    }

    fn digests(&self) -> Vec<String> {
        self.manifests.iter().filter_map(|manifest| Some(manifest["digest"].as_str()?.to_owned())).collect()
    }

    fn tar(self) -> std::io::Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        let mut add = |path: &str, bytes: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            header.set_mtime(0);
            builder.append_data(&mut header, path, bytes)
        };
        add("oci-layout", &text(&json!({ "imageLayoutVersion": "1.0.0" })))?;
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests });
        add("index.json", &text(&index))?;
        add("manifest.json", &text(&Value::from(self.docker)))?;
        for (digest, bytes) in &self.blobs {
            add(&blob_path(digest), bytes)?;
        }
        builder.into_inner()
    }
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn blob_path(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// The machine's architecture, by the name that Go and so OCI have for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::image::Layer;

    fn image(reference: &str) -> Image {
        Image::new(reference.parse().unwrap(), &["/bin/a"], Layer::new().file("bin/a", 0o755, "a"))
    }

    fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
        let bytes = std::fs::read(path).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (entry.path().unwrap().display().to_string(), bytes)
            })
            .collect()
    }

    #[test]
    fn every_reference_in_an_archive_leads_to_a_blob_of_that_digest_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        write(&path, vec![image("localhost/a:1"), image("localhost/b:2")]).unwrap();
        let files = files(&path);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &files[&format!("blobs/sha256/{digest}")];
            assert_eq!(digest::sha256(bytes), digest);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
            bytes
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        for entry in index["manifests"].as_array().unwrap() {
            let manifest: Value = serde_json::from_slice(blob(entry)).unwrap();
            let config: Value = serde_json::from_slice(blob(&manifest["config"])).unwrap();
            let layer = blob(&manifest["layers"][0]);
            assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", digest::sha256(layer)));
            assert_eq!(config["config"]["User"], super::super::NONROOT);
        }
        let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(docker[1]["RepoTags"][0], "localhost/b:2");
        assert!(files.contains_key(docker[1]["Layers"][0].as_str().unwrap()));
    }

    #[test]
    fn the_same_image_gives_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        let first = write(&one, vec![image("localhost/a:1")]).unwrap();
        assert_eq!(first, write(&two, vec![image("localhost/a:1")]).unwrap());
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
    }
}
