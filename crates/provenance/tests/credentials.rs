//! Content Credentials signed here, by authorities made here.
#![cfg(feature = "c2pa")]
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic, helpers included")]

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use c2pa::{Builder, Context, EphemeralSigner, Settings, Signer as _};
use candor_provenance::{Grade, Integrity, Limits, Says, Statement, Trust, inspect};

const CAT: &[u8] = include_bytes!("../../../datasets/samples/cat.jpg");
const CREATED: &str = r#"[{"action": "c2pa.created", "softwareAgent": {"name": "Painter"},
    "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"}]"#;

/// The picture with credentials that name these actions; `parent` is what it was made from.
fn signed(signer: &EphemeralSigner, source: &[u8], actions: &str, parent: Option<&[u8]>) -> Vec<u8> {
    let mut settings = Settings::new();
    settings.verify.verify_after_sign = false;
    let definition = format!(
        r#"{{"claim_generator_info": [{{"name": "Test"}}],
            "assertions": [{{"label": "c2pa.actions", "data": {{"actions": {actions}}}}}]}}"#
    );
    let context = Context::new().with_settings(settings).unwrap();
    let mut builder = Builder::from_context(context).with_definition(definition.as_str()).unwrap();
    if let Some(parent) = parent {
        let ingredient = r#"{"title": "parent", "relationship": "parentOf", "label": "parent"}"#;
        builder.add_ingredient_from_stream(ingredient, "image/jpeg", &mut Cursor::new(parent)).unwrap();
    }
    let mut out = Cursor::new(Vec::new());
    builder.sign(signer, "image/jpeg", &mut Cursor::new(source), &mut out).unwrap();
    out.into_inner()
}

/// Trust in the authority of a signer.
fn trust(signers: &[&EphemeralSigner]) -> Trust {
    let pem = |signer: &&EphemeralSigner| {
        let root = signer.certs().unwrap().pop().unwrap();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(root))
    };
    Trust::from_pem(&signers.iter().map(pem).collect::<String>()).unwrap()
}

fn read(file: &[u8], trust: &Trust) -> Statement {
    let report = inspect(file, &Limits::default(), trust);
    assert_eq!(report.statements.len(), 1, "{report:?}");
    report.statements.into_iter().next().unwrap()
}

#[test]
fn a_signature_is_proof_under_a_trusted_root_only() {
    let (ours, other) = (EphemeralSigner::new("ours").unwrap(), EphemeralSigner::new("other").unwrap());
    let file = signed(&ours, CAT, CREATED, None);

    let nobody = read(&file, &Trust::default());
    assert_eq!((nobody.grade, nobody.says, nobody.integrity), (Grade::Strong, Says::Ai, Integrity::Signed));
    assert!(nobody.words.contains("signer not checked: no trust list installed"), "{}", nobody.words);

    let trusted = read(&file, &trust(&[&other, &ours]));
    assert_eq!((trusted.grade, trusted.says, trusted.integrity), (Grade::Proof, Says::Ai, Integrity::Signed));
    assert!(trusted.raw.iter().any(|f| f.key == "trust list" && f.value.starts_with("2 certificates")));

    let unknown = read(&file, &trust(&[&other]));
    assert_eq!((unknown.grade, unknown.integrity), (Grade::Strong, Integrity::Signed));
    assert!(unknown.words.contains("not on the trust list"), "{}", unknown.words);
}

#[test]
fn what_was_changed_afterwards_counts_for_nothing() {
    let ours = EphemeralSigner::new("ours").unwrap();
    let (file, trust) = (signed(&ours, CAT, CREATED, None), trust(&[&ours]));
    assert_eq!(read(&file, &trust).grade, Grade::Proof);

    // In the last scan lines.
    let mut pixels = file.clone();
    let at = pixels.len() - 100;
    pixels[at] ^= 1;
    let found = read(&pixels, &trust);
    assert_eq!((found.grade, found.integrity), (Grade::Weak, Integrity::Broken));
    assert!(found.words.contains("changed afterwards"), "{}", found.words);
    assert!(found.raw.iter().any(|f| f.value == "assertion.dataHash.mismatch"), "{:?}", found.raw);

    // In the claim: another agent.
    let mut claim = file.clone();
    let at = claim.windows(7).position(|w| w == b"Painter").unwrap();
    claim[at] = b'S';
    let found = read(&claim, &trust);
    assert_eq!((found.grade, found.integrity), (Grade::Weak, Integrity::Broken));
    assert!(found.words.contains("do not match their own signature or hashes"), "{}", found.words);
}

#[test]
fn what_an_ingredient_says_is_as_good_as_both_signatures() {
    let (maker, editor) = (EphemeralSigner::new("maker").unwrap(), EphemeralSigner::new("editor").unwrap());
    let made = signed(&maker, CAT, CREATED, None);
    let opened = r#"[{"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}]"#;
    let file = signed(&editor, CAT, opened, Some(&made));

    let found = read(&file, &trust(&[&maker, &editor]));
    assert_eq!((found.grade, found.says), (Grade::Proof, Says::Ai), "{found:?}");
    assert!(found.raw.iter().any(|f| f.key == "in" && f.value == "parent ingredient"));
    let found = read(&file, &trust(&[&editor]));
    assert_eq!((found.grade, found.says), (Grade::Strong, Says::Ai), "{found:?}");
    let found = read(&file, &trust(&[&maker]));
    assert_eq!(found.grade, Grade::Strong, "{found:?}");
    // The file was opened from what the other signer made.
    let report = inspect(&file, &Limits::default(), &Trust::default());
    let [whole] = report.lineage.as_slice() else { panic!("{report:?}") };
    let [parent] = whole.ingredients.as_slice() else { panic!("{report:?}") };
    assert_eq!((whole.relationship.as_deref(), parent.relationship.as_deref()), (None, Some("parentOf")));
    assert_eq!(
        (whole.actions.as_slice(), parent.title.as_deref()),
        (&["c2pa.opened".to_owned()][..], Some("parent"))
    );
    assert_eq!(parent.actions, ["c2pa.created (trainedAlgorithmicMedia)"]);
    assert!(parent.generator.is_some() && parent.signer.is_some() && parent.ingredients.is_empty());
}

#[test]
fn a_signed_statement_about_a_camera_is_reported_with_its_grade() {
    let camera = EphemeralSigner::new("camera").unwrap();
    let captured = CREATED.replace("trainedAlgorithmicMedia", "digitalCapture");
    let found = read(&signed(&camera, CAT, &captured, None), &trust(&[&camera]));
    assert_eq!((found.grade, found.says), (Grade::Proof, Says::Capture));
    assert_eq!(found.id, "c2pa/credentials");
}

#[test]
fn lists_count_every_certificate_once() {
    let signers = [EphemeralSigner::new("a").unwrap(), EphemeralSigner::new("b").unwrap()];
    let (ab, ba) = (trust(&[&signers[0], &signers[1]]), trust(&[&signers[1], &signers[0], &signers[0]]));
    assert_eq!(ab.anchors().len(), 2);
    assert_eq!(ab, ba);
    assert_ne!(ab, trust(&[&signers[0]]));
    assert_ne!(ab, Trust::default());
    assert!(ab.anchors().iter().all(|a| a.not_after > 1_700_000_000 && a.subject.contains("CN=")));
}
