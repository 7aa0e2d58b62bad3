//! The types that [`inspect`](crate::inspect) returns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits on what one file may ask for. All are hard: beyond one, reading goes on without the rest and a warning says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most chunks, boxes, frames, tags, fields and properties that are looked at.
    pub max_items: usize,
    /// Most levels of nesting, in boxes, XML, JSON and CBOR.
    pub max_depth: usize,
    /// Most bytes of one text, packet or manifest store.
    pub max_value: usize,
    /// Most bytes that compressed data may unfold to, all together.
    pub max_inflated: usize,
    /// Most pixels of a picture that is decoded to look for a message in it.
    pub max_pixels: u64,
    /// Most bytes of a plain text that are searched for marks.
    pub max_text: usize,
    /// Most bytes of one value in [`Statement::raw`].
    pub max_raw: usize,
    /// Most statements in a report.
    pub max_statements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_items: 65_536,
            max_depth: 48,
            max_value: 16 << 20,
            max_inflated: 64 << 20,
            max_pixels: 100_000_000,
            max_text: 8 << 20,
            max_raw: 1024,
            max_statements: 64,
        }
    }
}

/// How much a statement weighs as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// A word or a habit that people also produce, or a claim that the file itself contradicts.
    Weak,
    /// A claim whose signature was not or could not be confirmed, or a mark that other tools write too.
    Medium,
    /// A mark that a machine wrote, specific to a generator and consistent in itself, or a signature under an unknown root. It
    /// can still be forged.
    Strong,
    /// A signature that holds against a known key, or under a root that the user trusts, and covers the content.
    Proof,
}

/// What a statement says about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Says {
    /// Made by a generative model.
    Ai,
    /// A part was made, or the whole was altered, by a generative model.
    AiEdited,
    /// Possibly made by a generative model, says a platform or its user.
    AiSuspected,
    /// Text that passed through a chat product, in whole or in part.
    AiAssisted,
    /// Taken with a camera or recorded.
    Capture,
    /// Made by a person.
    Human,
    /// Made by a procedure that is no machine learning.
    Procedural,
    /// Something else, or nothing about the origin.
    Other,
}

impl Says {
    /// Whether generative AI is named at all.
    pub fn is_ai(self) -> bool {
        matches!(self, Self::Ai | Self::AiEdited | Self::AiSuspected | Self::AiAssisted)
    }
}

/// Whether a statement still fits the content that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Integrity {
    /// Nothing binds the statement to the content, or it was not checked.
    Unchecked,
    /// Its hashes match the content; who made them is not known.
    HashesMatch,
    /// Its hashes do not match: content or statement was changed afterwards.
    Broken,
    /// Its signature holds. Whether its issuer is trusted, the grade says.
    Signed,
}

/// Where in a file a statement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// The structure, for instance `PNG tEXt "parameters"`.
    pub place: String,
    /// Offset of that structure in bytes, where it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<u64>,
}

/// A value as the file has it. It comes from the file: escape it before it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// Name, in the words of the standard or of the tool.
    pub key: String,
    /// Value, cut at [`Limits::max_raw`] bytes.
    pub value: String,
}

/// One thing that a file says about its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// Stable name of the kind of statement, for instance `xmp/digital-source-type` or `generator/a1111`.
    pub id: String,
    /// What it weighs.
    pub grade: Grade,
    /// What it says.
    pub says: Says,
    /// Whether it still fits the content.
    pub integrity: Integrity,
    /// The product, as named by the file or known from the form of the mark. Escape it before it is printed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub generator: Option<String>,
    /// Values that the statement rests on.
    pub raw: Vec<Field>,
    /// Where it stands.
    pub location: Location,
    /// A plain sentence that begins "The file" and repeats no words of the file.
    pub words: String,
}

/// Stable codes of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WarningCode {
    /// A structure ends early or contradicts itself; what came before it was read.
    Damaged,
    /// A limit was reached; the rest was not read.
    LimitReached,
    /// Something is stored in a form that is not read.
    NotRead,
    /// A statement exists only at an address on the network, which is not asked.
    Remote,
    /// Two statements contradict each other.
    Contradiction,
}

/// Something that a reader of the report should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable code.
    pub code: WarningCode,
    /// For people.
    pub message: String,
}

/// What a file declares about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Container that was read, for instance `jpeg`, or `unknown`.
    pub container: String,
    /// What the file says, the weightiest first. Empty means that it says nothing, never that a person made it.
    pub statements: Vec<Statement>,
    /// The history that Content Credentials tell: the manifest that holds, with what it was made from below it. Nothing in it is
    /// checked here; statements say what checking found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Manifest>,
    /// What could not be read or does not fit together.
    pub warnings: Vec<Warning>,
}

/// A step in the history of a file, as its Content Credentials tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Title of the work or of the ingredient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How it became part of what stands above it: `parentOf`, `componentOf`, `inputTo`; nothing for the file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relationship: Option<String>,
    /// The program that made the claim; nothing where an ingredient has no credentials of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// Organisation or name in the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// What was done, in the words of the standard, with the kind of source where it is stated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// What it was made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingredients: Vec<Manifest>,
}

impl Report {
    /// The weightiest statement that names generative AI.
    pub fn ai(&self) -> Option<&Statement> {
        self.statements.iter().find(|s| s.says.is_ai())
    }
}
