//! The bill of materials: CycloneDX 1.5, JSON.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Bundled, Linked, Package};

/// The bill of a program; `date` is an RFC 3339 time, that of the sources.
///
/// # Errors
/// A package has no licence.
pub fn bill(linked: &Linked, date: &str) -> Result<Value, String> {
    let mut components = Vec::new();
    let mut dependencies = vec![needs(linked, &linked.program, None)];
    for package in &linked.packages {
        components.push(component(linked, package)?);
        let bundled = Bundled::of(package)?;
        dependencies.push(needs(linked, package, bundled.as_ref()));
        if let Some(bundled) = bundled {
            dependencies.push(json!({ "ref": reference_of(&bundled), "dependsOn": [] }));
            components.push(native(package, &bundled));
        }
    }
    let program = json!({
        "type": "application",
        "bom-ref": reference(&linked.program),
        "name": linked.program.name,
        "version": linked.program.version,
        "description": linked.program.description,
        "licenses": [{ "expression": linked.program.licence()? }],
    });
    let tool = json!({
        "type": "application", "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"),
    });
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": date, "tools": { "components": [tool] }, "component": program,
        },
        "components": components,
        "dependencies": dependencies,
    });
    let serial = serial_number(&bill.to_string());
    if let Some(fields) = bill.as_object_mut() {
        fields.insert("serialNumber".to_owned(), serial.into());
    }
    Ok(bill)
}

fn component(linked: &Linked, package: &Package) -> Result<Value, String> {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version,
        "scope": "required",
        "licenses": [{ "expression": package.licence()? }],
    });
    let Some(fields) = component.as_object_mut() else { return Ok(component) };
    if let Some(description) = &package.description {
        fields.insert("description".to_owned(), description.trim().into());
    }
    if package.is_foreign() {
        fields.insert("purl".to_owned(), reference(package).into());
    }
    if let Some(sum) = linked.checksum(package) {
        fields.insert("hashes".to_owned(), json!([{ "alg": "SHA-256", "content": sum }]));
    }
    if let Some(repository) = &package.repository {
        let references = json!([{ "type": "vcs", "url": repository }]);
        fields.insert("externalReferences".to_owned(), references);
    }
    Ok(component)
}

fn native(package: &Package, bundled: &Bundled) -> Value {
    json!({
        "type": "library",
        "bom-ref": reference_of(bundled),
        "name": bundled.name,
        "version": bundled.version,
        "description": format!("inside the package {} {}", package.name, package.version),
        "scope": "required",
        "licenses": [{ "expression": bundled.licence }],
        "purl": reference_of(bundled),
    })
}

fn needs(linked: &Linked, package: &Package, bundled: Option<&Bundled>) -> Value {
    let needed = linked.needs_of(package).into_iter().map(reference);
    let needed: Vec<String> = needed.chain(bundled.map(reference_of)).collect();
    json!({ "ref": reference(package), "dependsOn": needed })
}

/// A package URL for what the registry has, and a name of our own for the workspace's packages.
fn reference(package: &Package) -> String {
    let Package { name, version, .. } = package;
    // A `+` means a space to some readers of such addresses.
    let version = version.replace('+', "%2B");
    if package.is_foreign() {
        format!("pkg:cargo/{name}@{version}")
    } else {
        format!("workspace/{name}@{version}")
    }
}

fn reference_of(bundled: &Bundled) -> String {
    format!("pkg:generic/{}@{}", bundled.name, bundled.version)
}

/// A UUID (version 8) that follows from the bill: two builds of the same sources have the same.
fn serial_number(bill: &str) -> String {
    let bytes: [u8; 32] = Sha256::digest(bill).into();
    let digits = hex::encode(bytes);
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0..8),
        part(8..12),
        part(13..16),
        part(17..20),
        part(20..32)
    )
}
