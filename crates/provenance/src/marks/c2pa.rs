//! Content Credentials (C2PA 2.x, JUMBF of ISO 19566-5): what a manifest claims, by whom it says that it was made, and
//! whether it fits the file. Signatures and certificates are left to [`Trust`]; where those cannot be checked, the hashes
//! that are simple to check are checked here, and nothing is proof.

use std::collections::BTreeSet;

use sha2::{Sha256, Sha384, Sha512};

use crate::bytes::{Cursor, clip, find, has, latin1_or_utf8, split_nul};
use crate::cbor;
use crate::container::bmff;
use crate::json;
use crate::marks::{Draft, Source, source_type};
use crate::report::{Grade, Integrity, Limits, Manifest, Says, Statement, WarningCode};
use crate::sink::{Sink, Store};
use crate::trust::{Standing, Trust, Validation};

/// A JUMBF superbox.
#[derive(Debug)]
struct Node<'a> {
    label: String,
    /// Its content behind the header: what hashes are taken over.
    payload: &'a [u8],
    /// Content boxes by type.
    content: Vec<([u8; 4], &'a [u8])>,
    children: Vec<Node<'a>>,
}

impl Node<'_> {
    fn child(&self, label: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.label == label)
    }

    fn value(&self) -> Option<Value> {
        self.content.iter().find_map(|(kind, data)| match kind {
            b"cbor" => cbor::parse(data).map(Value::Cbor),
            b"json" => json::parse(std::str::from_utf8(data).ok()?.trim_end_matches('\0')).map(Value::Json),
            _ => None,
        })
    }
}

/// Assertions are CBOR or JSON; both are looked at in the same way.
#[derive(Debug, Clone)]
enum Value {
    Cbor(cbor::Value),
    Json(json::Value),
}

impl Value {
    fn get(&self, key: &str) -> Option<Self> {
        match self {
            Self::Cbor(v) => v.get(key).cloned().map(Self::Cbor),
            Self::Json(v) => v.get(key).cloned().map(Self::Json),
        }
    }

    fn items(&self) -> Vec<Self> {
        match self {
            Self::Cbor(v) => v.items().iter().cloned().map(Self::Cbor).collect(),
            Self::Json(v) => v.items().iter().cloned().map(Self::Json).collect(),
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Cbor(v) => v.text().map(str::to_owned),
            Self::Json(v) => v.str().map(str::to_owned),
        }
    }

    fn text_of(&self, key: &str) -> Option<String> {
        self.get(key)?.text()
    }

    fn entries(&self) -> Vec<(String, Self)> {
        match self {
            Self::Cbor(v) => v
                .entries()
                .iter()
                .filter_map(|(k, v)| Some((k.text()?.to_owned(), Self::Cbor(v.clone()))))
                .collect(),
            Self::Json(v) => v.entries().iter().map(|(k, v)| (k.clone(), Self::Json(v.clone()))).collect(),
        }
    }
}

fn superbox<'a>(data: &'a [u8], b: bmff::Bx<'a>, depth: usize, left: &mut usize) -> Option<Node<'a>> {
    if depth > 16 {
        return None;
    }
    let end = b.body_at.checked_add(b.body.len())?;
    let (boxes, _) = bmff::boxes(data, b.body_at, end, 4096);
    let mut boxes = boxes.into_iter();
    let description = boxes.next().filter(|d| &d.kind == b"jumd")?;
    let mut c = Cursor::new(description.body);
    c.skip(16)?;
    let toggles = c.u8()?;
    let label = if toggles & 2 == 0 { String::new() } else { latin1_or_utf8(split_nul(c.rest())?.0) };
    let mut node = Node { label, payload: b.body, content: Vec::new(), children: Vec::new() };
    for inner in boxes {
        *left = left.checked_sub(1)?;
        if &inner.kind == b"jumb" {
            node.children.extend(superbox(data, inner, depth + 1, left));
        } else {
            node.content.push((inner.kind, inner.body));
        }
    }
    Some(node)
}

fn tree<'a>(store: &'a [u8], limits: &Limits) -> Option<Node<'a>> {
    let (boxes, _) = bmff::boxes(store, 0, store.len(), 64);
    let first = boxes.into_iter().find(|b| &b.kind == b"jumb")?;
    let mut left = limits.max_items;
    superbox(store, first, 0, &mut left).filter(|n| n.label == "c2pa")
}

/// The label of an assertion without the number of its instance.
fn base(label: &str) -> &str {
    match label.rsplit_once("__") {
        Some((base, n)) if n.bytes().all(|b| b.is_ascii_digit()) => base,
        _ => label,
    }
}

fn is(label: &str, name: &str) -> bool {
    let label = base(label);
    label == name
        || label
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(".v"))
            .is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
}

fn claim<'a>(manifest: &'a Node<'a>) -> Option<Value> {
    manifest.children.iter().find(|c| is(&c.label, "c2pa.claim"))?.value()
}

/// What the manifests lead to.
#[derive(Debug, Clone, Default)]
struct Finding {
    says: Option<Says>,
    /// How the claim was worded, for the reader.
    words: &'static str,
    facts: Vec<(&'static str, String)>,
    agent: Option<String>,
    /// Whether it stands in the manifest of an ingredient.
    inner: bool,
}

fn weight(says: Option<Says>) -> u8 {
    match says {
        Some(Says::Ai) => 6,
        Some(Says::AiEdited) => 5,
        Some(Says::Capture) => 4,
        Some(Says::Human) => 3,
        Some(Says::Procedural) => 2,
        Some(_) => 1,
        None => 0,
    }
}

impl Finding {
    fn new(says: Says, words: &'static str) -> Self {
        Self { says: Some(says), words, ..Self::default() }
    }

    fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((key, value.into()));
        self
    }

    fn or_heavier(self, other: Self) -> Self {
        if weight(other.says) > weight(self.says) { other } else { self }
    }
}

fn agent(action: &Value) -> Option<String> {
    let agent = action.get("softwareAgent")?;
    agent.text().or_else(|| agent.text_of("name"))
}

fn of_action(action: &Value, generative_label: bool) -> Finding {
    let kind = action.text_of("action").unwrap_or_default();
    let created = matches!(kind.as_str(), "c2pa.created" | "created");
    let agent = agent(action);
    let parameters = action.get("parameters");
    let inner = || parameters.as_ref().and_then(|p| p.text_of("digitalSourceType"));
    let stated = action.text_of("digitalSourceType").or_else(inner);
    let adobe = parameters.as_ref().and_then(|p| p.text_of("com.adobe.digitalSourceType"));
    let mut finding = if let Some(source) = stated.as_deref().and_then(source_type) {
        of_source(source, created).with("digitalSourceType", stated.unwrap_or_default())
    } else if let Some(source) = adobe.as_deref().and_then(source_type) {
        let opened = kind == "c2pa.opened" || created;
        of_source(source, opened).with("com.adobe.digitalSourceType", adobe.unwrap_or_default())
    } else if created && agent.as_deref() == Some("Image Creator from Designer") {
        Finding::new(Says::Ai, "was created by an image generator")
    } else if created && generative_label {
        Finding::new(Says::Ai, "was created with generative AI")
    } else {
        Finding::default()
    };
    finding.agent.clone_from(&agent);
    if finding.says.is_some() {
        finding = finding.with("action", kind);
        if let Some(agent) = agent {
            finding = finding.with("softwareAgent", agent);
        }
    }
    finding
}

fn of_source(source: Source, whole: bool) -> Finding {
    match source.says {
        Says::Ai if !whole => Finding::new(Says::AiEdited, "has parts or edits made by a generative model"),
        says if says == Says::AiEdited || whole => Finding::new(says, source.words),
        _ => Finding::default(),
    }
}

fn of_manifest<'a>(
    store: &'a Node<'a>,
    manifest: &'a Node<'a>,
    depth: usize,
    seen: &mut BTreeSet<&'a str>,
) -> Finding {
    if depth > 16 || !seen.insert(manifest.label.as_str()) {
        return Finding::default();
    }
    let mut best = Finding::default();
    let Some(assertions) = manifest.child("c2pa.assertions") else { return best };
    let generative_label = assertions.children.iter().any(|a| is(&a.label, "com.adobe.generative-ai"));
    let mut created = false;
    for assertion in &assertions.children {
        let label = base(&assertion.label);
        if is(label, "c2pa.actions") {
            let Some(value) = assertion.value() else { continue };
            for action in value.get("actions").map(|a| a.items()).unwrap_or_default() {
                created |= action.text_of("action").as_deref() == Some("c2pa.created");
                best = best.or_heavier(of_action(&action, generative_label));
            }
        } else if is(label, "c2pa.ingredient") {
            let Some(value) = assertion.value() else { continue };
            best = best.or_heavier(of_ingredient(store, &value, depth, seen));
        } else {
            best = best.or_heavier(of_assertion(label, assertion));
        }
    }
    if generative_label && !created {
        best = best.or_heavier(
            Finding::new(Says::AiEdited, "was edited with generative AI")
                .with("assertion", "com.adobe.generative-ai"),
        );
    }
    best
}

/// The manifest that an ingredient names.
fn linked<'a>(store: &'a Node<'a>, ingredient: &Value) -> Option<&'a Node<'a>> {
    let link =
        ["activeManifest", "c2pa_manifest"].iter().find_map(|key| ingredient.get(key)?.text_of("url"))?;
    let path = link.rsplit_once("jumbf=").map_or(link.as_str(), |(_, path)| path);
    store.child(path.trim_start_matches('/').trim_start_matches("c2pa/").split('/').next()?)
}

fn of_ingredient<'a>(
    store: &'a Node<'a>,
    value: &Value,
    depth: usize,
    seen: &mut BTreeSet<&'a str>,
) -> Finding {
    let relationship = value.text_of("relationship").unwrap_or_default();
    let Some(manifest) = linked(store, value) else { return Finding::default() };
    let mut inner = of_manifest(store, manifest, depth + 1, seen);
    inner.inner = true;
    if relationship == "parentOf" {
        return if inner.says.is_some() { inner.with("in", "parent ingredient") } else { inner };
    }
    // A part does not make the whole; that a part is a photograph says nothing.
    match inner.says {
        Some(says) if says.is_ai() => Finding {
            says: Some(Says::AiEdited),
            words: "contains material made by a generative model",
            ..inner.with("in", format!("ingredient ({relationship})"))
        },
        _ => Finding::default(),
    }
}

/// Assertions that state the fact without an action.
fn of_assertion(label: &str, assertion: &Node<'_>) -> Finding {
    let value = || assertion.value();
    match label {
        _ if is(label, "c2pa.ai_generated_content")
            || is(label, "c2pa.ai_disclosure")
            || is(label, "c2pa.ai-disclosure") =>
        {
            Finding::new(Says::Ai, "was made by generative AI").with("assertion", label)
        }
        "com.suno.provenance" => {
            let mut finding =
                Finding::new(Says::Ai, "was made by the music generator Suno").with("assertion", label);
            let value = value();
            let of = |key: &str| value.as_ref().and_then(|v| v.text_of(key));
            finding.agent = of("providerName").or(Some("Suno".to_owned()));
            for key in ["systemName", "systemVersion", "createdAt", "contentId"] {
                if let Some(text) = of(key) {
                    finding = finding.with(key, text);
                }
            }
            finding
        }
        "stds.iptc" | "stds.iptc.photo-metadata" | "c2pa.metadata" | "stds.exif" => {
            let entries = value().map(|v| v.entries()).unwrap_or_default();
            let stated = entries.iter().find(|(k, _)| k.rsplit(':').next() == Some("DigitalSourceType"));
            let source = stated.and_then(|(_, v)| Some((v.text()?, source_type(&v.text()?)?)));
            source.map_or_else(Finding::default, |(text, source)| {
                Finding::new(source.says, source.words).with("DigitalSourceType", text)
            })
        }
        _ => Finding::default(),
    }
}

/// The organisation and the common name of the certificate beside a claim's signature (X.509 in COSE).
fn signer(manifest: &Node<'_>) -> Option<(Option<String>, Option<String>)> {
    let signature = manifest.child("c2pa.signature")?;
    let (_, data) = signature.content.iter().find(|(kind, _)| kind == b"cbor")?;
    let cose = cbor::parse(data)?;
    let protected = cose.items().first()?.bytes().and_then(cbor::parse);
    let chain = protected
        .as_ref()
        .and_then(|p| p.get_int(33).or_else(|| p.get("x5chain")))
        .or_else(|| cose.items().get(1)?.get_int(33).or_else(|| cose.items().get(1)?.get("x5chain")))?;
    let certificate = chain.bytes().or_else(|| chain.items().first()?.bytes())?;
    let tbs = der(&mut Cursor::new(certificate))?.1;
    let mut c = Cursor::new(der(&mut Cursor::new(tbs))?.1);
    // Version (optional), serial number, algorithm, issuer, validity, subject.
    let mut parts = Vec::new();
    while let Some(part) = der(&mut c) {
        parts.push(part);
        if parts.len() > 8 {
            break;
        }
    }
    let skip = usize::from(parts.first()?.0 == 0xa0);
    let subject = parts.get(skip + 4)?.1;
    let mut names = (None, None);
    let mut c = Cursor::new(subject);
    while let Some((_, set)) = der(&mut c) {
        let mut attribute = Cursor::new(der(&mut Cursor::new(set))?.1);
        let (Some((6, oid)), Some((_, text))) = (der(&mut attribute), der(&mut attribute)) else { continue };
        match oid {
            [0x55, 4, 10] => names.0 = Some(latin1_or_utf8(text)),
            [0x55, 4, 3] => names.1 = Some(latin1_or_utf8(text)),
            _ => {}
        }
    }
    Some(names)
}

/// One DER element: its tag and its content.
fn der<'a>(c: &mut Cursor<'a>) -> Option<(u8, &'a [u8])> {
    let tag = c.u8()?;
    let first = c.u8()?;
    let len = if first < 0x80 {
        usize::from(first)
    } else {
        let n = usize::from(first & 0x7f);
        if n > 4 {
            return None;
        }
        c.take(n)?.iter().fold(0, |n, &b| (n << 8) | usize::from(b))
    };
    Some((tag, c.take(len)?))
}

fn digest(algorithm: &str, parts: &[&[u8]]) -> Option<Vec<u8>> {
    fn run<D: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut hasher = D::new();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().to_vec()
    }
    Some(match algorithm {
        "sha256" => run::<Sha256>(parts),
        "sha384" => run::<Sha384>(parts),
        "sha512" => run::<Sha512>(parts),
        _ => return None,
    })
}

/// Compares the hashes of the assertions, and that of the content where it is by byte ranges. The code is that of the
/// C2PA specification, 15.2.
fn integrity(file: &[u8], manifest: &Node<'_>) -> (Integrity, Option<&'static str>) {
    let Some(Value::Cbor(claim)) = claim(manifest) else { return (Integrity::Unchecked, None) };
    let Some(assertions) = manifest.child("c2pa.assertions") else { return (Integrity::Unchecked, None) };
    let default = claim.get("alg").and_then(cbor::Value::text).unwrap_or("sha256");
    let lists = ["assertions", "created_assertions", "gathered_assertions"];
    let mut checked = 0_usize;
    // Each assertion is named once; a list that names a large one again and again is not followed.
    let mut left = manifest.payload.len().saturating_mul(2);
    for link in lists.iter().filter_map(|l| claim.get(l)).flat_map(cbor::Value::items).take(4096) {
        let url = link.get("url").and_then(cbor::Value::text).unwrap_or_default();
        let label = url.rsplit('/').next().unwrap_or_default();
        let Some(node) = assertions.child(label) else { continue };
        let algorithm = link.get("alg").and_then(cbor::Value::text).unwrap_or(default);
        let Some(rest) = left.checked_sub(node.payload.len()) else {
            return (Integrity::Unchecked, None);
        };
        left = rest;
        let Some(found) = digest(algorithm, &[node.payload]) else { continue };
        checked += 1;
        if link.get("hash").and_then(cbor::Value::bytes) != Some(&found[..]) {
            return (Integrity::Broken, Some("assertion.hashedURI.mismatch"));
        }
    }
    let bound = assertions.children.iter().find(|a| is(&a.label, "c2pa.hash.data")).and_then(Node::value);
    let Some(Value::Cbor(bound)) = bound else { return (Integrity::Unchecked, None) };
    let algorithm = bound.get("alg").and_then(cbor::Value::text).unwrap_or(default);
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for range in bound.get("exclusions").map(cbor::Value::items).unwrap_or_default() {
        let number =
            |key: &str| range.get(key).and_then(cbor::Value::uint).and_then(|n| usize::try_from(n).ok());
        let (Some(start), Some(len)) = (number("start"), number("length")) else {
            return (Integrity::Unchecked, None);
        };
        ranges.push((start, start.saturating_add(len)));
    }
    ranges.sort_unstable();
    let mut parts = Vec::new();
    let mut at = 0;
    for (start, end) in ranges {
        parts.extend(file.get(at..start));
        at = end.max(at);
    }
    parts.extend(file.get(at..));
    let Some(found) = digest(algorithm, &parts) else { return (Integrity::Unchecked, None) };
    if bound.get("hash").and_then(cbor::Value::bytes) == Some(&found[..]) {
        (if checked > 0 { Integrity::HashesMatch } else { Integrity::Unchecked }, None)
    } else {
        (Integrity::Broken, Some("assertion.dataHash.mismatch"))
    }
}

/// The name in `claim_generator_info`, a map or a list of maps, or the text of `claim_generator`.
fn claim_generator(claim: &Value) -> Option<String> {
    let info = claim.get("claim_generator_info");
    let first = info.as_ref().and_then(|i| i.items().into_iter().next()).or(info);
    let named = first.and_then(|i| {
        let name = i.text_of("name")?;
        Some(match i.text_of("version") {
            Some(version) => format!("{name} {version}"),
            None => name,
        })
    });
    named.or_else(|| claim.text_of("claim_generator"))
}

/// Adds what the stores state, and gives the history that they tell.
pub(crate) fn read(
    file: &[u8],
    container: &str,
    trust: &Trust,
    sink: &mut Sink<'_>,
    out: &mut Vec<Statement>,
) -> Vec<Manifest> {
    let mut lineage = Vec::new();
    let stores = std::mem::take(&mut sink.stores);
    // A file has one store; where there are several, nothing says which of them the validation is about.
    let single = stores.len() == 1;
    for store in stores.iter().take(8) {
        lineage.extend(one(file, store, single.then_some(container), trust, sink, out));
    }
    sink.stores = stores;
    lineage
}

/// Most steps of a history, and most actions of a step.
const STEPS: usize = 64;
const ACTIONS: usize = 16;

/// A manifest and what it was made from. Steps that were told already are not told again.
fn history<'a>(
    store: &'a Node<'a>,
    manifest: &'a Node<'a>,
    seen: &mut BTreeSet<&'a str>,
    left: &mut usize,
) -> Option<Manifest> {
    *left = left.checked_sub(1)?;
    let text = |text: String| clip(&text, 200).to_owned();
    let claim = claim(manifest);
    let names = signer(manifest).unwrap_or((None, None));
    let mut step = Manifest {
        title: claim.as_ref().and_then(|c| c.text_of("dc:title")).map(text),
        relationship: None,
        generator: claim.as_ref().and_then(claim_generator).map(text),
        signer: names.0.or(names.1).map(text),
        actions: Vec::new(),
        ingredients: Vec::new(),
    };
    if !seen.insert(manifest.label.as_str()) {
        return Some(step);
    }
    for assertion in manifest.child("c2pa.assertions").map(|a| a.children.as_slice()).unwrap_or_default() {
        let label = base(&assertion.label);
        if is(label, "c2pa.actions") {
            let actions =
                assertion.value().and_then(|v| v.get("actions")).map(|a| a.items()).unwrap_or_default();
            for action in actions {
                let Some(kind) = action.text_of("action").filter(|_| step.actions.len() < ACTIONS) else {
                    continue;
                };
                let source = action.text_of("digitalSourceType");
                let source = source.as_deref().and_then(|s| s.rsplit('/').next());
                step.actions.push(text(match source {
                    Some(source) => format!("{kind} ({source})"),
                    None => kind,
                }));
            }
        } else if is(label, "c2pa.ingredient")
            && let Some(value) = assertion.value()
        {
            let inner = linked(store, &value).and_then(|inner| history(store, inner, seen, left));
            let mut inner = if let Some(inner) = inner {
                inner
            } else {
                let Some(rest) = left.checked_sub(1) else { break };
                *left = rest;
                Manifest::default()
            };
            inner.relationship = value.text_of("relationship").map(text);
            inner.title =
                value.text_of("dc:title").or_else(|| value.text_of("title")).map(text).or(inner.title);
            step.ingredients.push(inner);
        }
    }
    Some(step)
}

fn one(
    file: &[u8],
    store: &Store,
    container: Option<&str>,
    trust: &Trust,
    sink: &mut Sink<'_>,
    out: &mut Vec<Statement>,
) -> Option<Manifest> {
    let Some(root) = tree(&store.data, sink.limits) else {
        if has(&store.data, 4, b"jumb") && find(clip_bytes(&store.data), b"c2pa").is_some() {
            sink.damaged("store of Content Credentials");
        }
        return None;
    };
    // The manifest that was added last is the one that holds.
    let active = root.children.last()?;
    let Some(claim) = claim(active) else {
        sink.warn(WarningCode::NotRead, "Content Credentials are stored in a form that is not read");
        return None;
    };
    let mut finding = of_manifest(&root, active, 0, &mut BTreeSet::new());
    let names = signer(active).unwrap_or((None, None));
    let says = finding.says.unwrap_or(Says::Other);
    let validation = container.and_then(|c| trust.validate(file, c));
    let Weighed { grade, integrity, checked, codes } = match validation {
        Some(validation) => weigh(validation, finding.inner, trust),
        None => unsigned(integrity(file, active)),
    };
    let claimed = if finding.says.is_some() {
        finding.words
    } else {
        "has Content Credentials, which say nothing of AI"
    };
    let words = if finding.says.is_some() {
        format!("The file's Content Credentials claim that it {claimed}; {checked}.")
    } else {
        format!("The file {claimed}; {checked}.")
    };
    let id = if says.is_ai() { "c2pa/claim" } else { "c2pa/credentials" };
    let mut draft = Draft::new(id, grade, says, &store.location, words);
    for (key, value) in std::mem::take(&mut finding.facts) {
        draft = draft.field(key, value);
    }
    let tool = claim_generator(&claim);
    if let Some(tool) = &tool {
        draft = draft.field("claim_generator", tool.clone());
    }
    if let Some(organisation) = &names.0 {
        draft = draft.field("certificate O", organisation.clone());
    }
    if let Some(name) = &names.1 {
        draft = draft.field("certificate CN", name.clone());
    }
    for code in codes {
        draft = draft.field("validation", code);
    }
    if let (Grade::Proof, Some(digest)) = (grade, trust.digest()) {
        draft =
            draft.field("trust list", format!("{} certificates, SHA-256 {digest}", trust.anchors().len()));
    }
    draft = draft.field("manifest", clip(&active.label, 200));
    for (key, value) in asides(active) {
        draft = draft.field(key, value);
    }
    let generator = if says.is_ai() { finding.agent.or(tool).or(names.0) } else { tool };
    if let Some(generator) = generator {
        draft = draft.generator(generator);
    }
    let mut statement = draft.done();
    statement.integrity = integrity;
    out.push(statement);
    history(&root, active, &mut BTreeSet::new(), &mut { STEPS })
}

/// What credentials are worth after they were checked.
struct Weighed {
    grade: Grade,
    integrity: Integrity,
    /// Follows the claim in its sentence.
    checked: &'static str,
    codes: Vec<String>,
}

/// From a validation; `inner` for a claim that an ingredient's manifest makes, which is as good as both.
fn weigh(validation: Validation, inner: bool, trust: &Trust) -> Weighed {
    let Validation { mut standing, ingredients, codes } = validation;
    let good = |s: Standing| matches!(s, Standing::Trusted | Standing::Unknown | Standing::Expired);
    if inner && good(standing) && ingredients != Standing::Trusted {
        let worse = !good(ingredients) || standing == Standing::Trusted || ingredients == Standing::Expired;
        standing = if worse { ingredients } else { standing };
    }
    let listed = trust.digest().is_some();
    let (grade, integrity, checked) = match (standing, listed) {
        (Standing::Trusted, _) => (
            Grade::Proof,
            Integrity::Signed,
            "their signature holds, fits the file and was issued under a root of the trust list",
        ),
        (Standing::Unknown, true) => (
            Grade::Strong,
            Integrity::Signed,
            "their signature holds and fits the file, but its issuer is not on the trust list",
        ),
        (Standing::Unknown, false) => (
            Grade::Strong,
            Integrity::Signed,
            "their signature holds and fits the file; signer not checked: no trust list installed (see `candor trust`)",
        ),
        (Standing::Expired, true) => (
            Grade::Medium,
            Integrity::HashesMatch,
            "nothing was changed, but the signer's certificate is out of date and no trusted time stamp says since when",
        ),
        (Standing::Expired, false) => (
            Grade::Medium,
            Integrity::HashesMatch,
            "nothing was changed, but the signer's certificate is out of date; signer not checked: no trust list installed (see `candor trust`)",
        ),
        (Standing::Revoked, _) => (
            Grade::Weak,
            Integrity::Unchecked,
            "the signer's certificate was revoked, so they count for nothing",
        ),
        (Standing::ContentChanged, _) => {
            (Grade::Weak, Integrity::Broken, "they no longer fit the file, which was changed afterwards")
        }
        (Standing::ClaimChanged, _) => (
            Grade::Weak,
            Integrity::Broken,
            "they do not match their own signature or hashes: they were changed afterwards",
        ),
        (Standing::Malformed, _) => (
            Grade::Weak,
            Integrity::Unchecked,
            "they break the rules of their standard, so they count for nothing",
        ),
    };
    Weighed { grade, integrity, checked, codes }
}

/// From the hashes alone.
fn unsigned((integrity, code): (Integrity, Option<&'static str>)) -> Weighed {
    let (grade, checked) = match integrity {
        Integrity::Broken => (Grade::Weak, "they no longer fit the file, which was changed afterwards"),
        Integrity::HashesMatch => {
            (Grade::Medium, "their hashes fit the file, their signature was not checked")
        }
        _ => (Grade::Medium, "their signature was not checked"),
    };
    Weighed { grade, integrity, checked, codes: code.map(str::to_owned).into_iter().collect() }
}

fn clip_bytes(data: &[u8]) -> &[u8] {
    data.get(..256).unwrap_or(data)
}

/// Assertions that announce a watermark or an opt-out: worth a line, no statement about AI.
fn asides(manifest: &Node<'_>) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for assertion in manifest.child("c2pa.assertions").map(|a| a.children.as_slice()).unwrap_or_default() {
        let label = base(&assertion.label);
        if is(label, "c2pa.soft-binding") {
            let algorithm = assertion.value().and_then(|v| v.text_of("alg")).unwrap_or_default();
            out.push(("soft-binding", algorithm));
        } else if is(label, "c2pa.training-mining") || is(label, "cawg.training-mining") {
            out.push(("training-mining", label.to_owned()));
        }
        if out.len() >= 8 {
            break;
        }
    }
    out
}
