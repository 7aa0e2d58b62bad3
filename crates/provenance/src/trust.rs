//! Whose signatures count, and whether those of Content Credentials hold.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Most bytes of a trust list; the official one has some 60 kB.
const MAX_LIST: usize = 16 << 20;

/// The root certificates that Content Credentials are checked against. Whom to trust is the user's choice: the default
/// is nobody.
#[derive(Clone)]
pub struct Trust {
    anchors: Arc<[Anchor]>,
    digest: Option<Arc<str>>,
    #[cfg(feature = "c2pa")]
    context: Option<Arc<c2pa::Context>>,
}

/// One root certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its subject, as the certificate writes it. It comes from a file: escape it before it is printed.
    pub subject: String,
    /// The end of its validity in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the certificate in hexadecimal digits.
    pub sha256: String,
}

impl Default for Trust {
    fn default() -> Self {
        Self::new(Vec::new(), None)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("anchors", &self.anchors.len())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Two are the same when they trust the same certificates.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Trust {
    /// Reads certificates in PEM, those of signers and of time stamps alike; duplicates count once.
    ///
    /// # Errors
    /// [`Error::TrustList`] for a text without a certificate or with a damaged one, or if it is larger than 16 MiB;
    /// [`Error::Unavailable`] in a build without the feature `c2pa`.
    #[cfg(feature = "c2pa")]
    pub fn from_pem(pem: &str) -> Result<Self> {
        use sha2::{Digest as _, Sha256};
        use x509_parser::pem::Pem;

        let wrong = |what: String| Error::TrustList(what);
        if pem.len() > MAX_LIST {
            return Err(wrong("it is larger than 16 MiB".into()));
        }
        let mut found = std::collections::BTreeMap::new();
        for (i, block) in Pem::iter_from_buffer(pem.as_bytes()).enumerate() {
            let damaged = |e: &dyn fmt::Display| wrong(format!("certificate {} is damaged: {e}", i + 1));
            let block = block.map_err(|e| damaged(&e))?;
            if block.label != "CERTIFICATE" {
                return Err(wrong(format!("it has a {:?} where certificates are expected", block.label)));
            }
            let certificate = block.parse_x509().map_err(|e| damaged(&e))?;
            let sha256 = hex(&Sha256::digest(&block.contents));
            let anchor = Anchor {
                subject: certificate.subject().to_string(),
                not_after: certificate.validity().not_after.timestamp(),
                sha256: sha256.clone(),
            };
            found.insert(sha256, anchor);
        }
        if found.is_empty() {
            return Err(wrong("it has no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")".into()));
        }
        let mut all = Sha256::new();
        for sha256 in found.keys() {
            all.update(sha256.as_bytes());
        }
        let digest = hex(&all.finalize());
        let mut trust = Self::new(found.into_values().collect(), Some(pem));
        trust.digest = Some(digest.into());
        Ok(trust)
    }

    /// See the build with the feature `c2pa`.
    ///
    /// # Errors
    /// Always [`Error::Unavailable`].
    #[cfg(not(feature = "c2pa"))]
    pub fn from_pem(pem: &str) -> Result<Self> {
        let _ = (pem, MAX_LIST);
        Err(Error::Unavailable("signatures of Content Credentials"))
    }

    #[cfg_attr(not(feature = "c2pa"), allow(unused_variables, reason = "only the check reads it"))]
    fn new(anchors: Vec<Anchor>, pem: Option<&str>) -> Self {
        Self {
            anchors: anchors.into(),
            digest: None,
            #[cfg(feature = "c2pa")]
            context: validation::context(pem),
        }
    }

    /// The certificates, in the order of their digests.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// A digest over the certificates, whatever their order; `None` for none.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Validates the Content Credentials in a file.
    #[cfg(feature = "c2pa")]
    pub(crate) fn validate(&self, file: &[u8], container: &str) -> Option<Validation> {
        validation::run(self.context.as_ref()?, file, container)
    }

    /// Validates nothing in a build without the feature `c2pa`.
    #[cfg(not(feature = "c2pa"))]
    #[allow(clippy::unused_self, reason = "the same signature as with the feature")]
    pub(crate) fn validate(&self, _: &[u8], _: &str) -> Option<Validation> {
        None
    }
}

#[cfg(feature = "c2pa")]
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// What the signature of a manifest is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "c2pa"), allow(dead_code, reason = "only the check makes them"))]
pub(crate) enum Standing {
    /// Signature, hashes and issuer hold.
    Trusted,
    /// Signature and hashes hold; the issuer is not among the trusted.
    Unknown,
    /// Signature and hashes hold, but the certificate is out of date and no trusted time stamp proves that it was not.
    Expired,
    /// The certificate was revoked.
    Revoked,
    /// The content does not match its hash.
    ContentChanged,
    /// The credentials do not match their signature or their hashes.
    ClaimChanged,
    /// They break the rules in some other way.
    Malformed,
}

/// The result of a validation.
#[derive(Debug)]
pub(crate) struct Validation {
    /// Of the manifest that holds.
    pub(crate) standing: Standing,
    /// Of the manifests of its ingredients: the worst of them.
    pub(crate) ingredients: Standing,
    /// Codes of the C2PA specification (15.2) that are not successes.
    pub(crate) codes: Vec<String>,
}

#[cfg(feature = "c2pa")]
mod validation {
    use std::collections::BTreeSet;
    use std::io::Cursor;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use c2pa::validation_results::{StatusCodes, ValidationResults, ValidationState};
    use c2pa::validation_status::ValidationStatus;
    use c2pa::{Context, Reader, Settings};

    use super::{Standing, Validation};

    /// Settings without any network.
    pub(super) fn context(pem: Option<&str>) -> Option<Arc<Context>> {
        let mut settings = Settings::new();
        settings.verify.remote_manifest_fetch = false;
        settings.verify.ocsp_fetch = false;
        settings.trust.trust_anchors = pem.map(str::to_owned);
        Some(Context::new().with_settings(settings).ok()?.into_shared())
    }

    pub(super) fn run(context: &Arc<Context>, file: &[u8], container: &str) -> Option<Validation> {
        let format = match container {
            "bmff" => "mp4",
            "tiff" => "tif",
            other => other,
        };
        // The crate is not ours and the file is not a friend's.
        let read = || Reader::from_shared_context(context).with_stream(format, Cursor::new(file)).ok();
        let reader = catch_unwind(AssertUnwindSafe(read)).ok()??;
        let results = reader.validation_results()?;
        let active = results.active_manifest()?;
        let codes: Vec<&str> = active.failure().iter().map(ValidationStatus::code).collect();
        let trusted = active.success().iter().any(|s| s.code() == "signingCredential.trusted");
        let deltas = || results.ingredient_deltas().into_iter().flatten();
        // What was known of an ingredient when it was taken in stands in its assertion, and the deltas have only what is
        // new; that its issuer is trusted by now may be.
        let recorded = reader.manifests().values().flat_map(c2pa::Manifest::ingredients).flat_map(|i| {
            let results = i.validation_results().and_then(ValidationResults::active_manifest);
            let old = i.validation_status().filter(|_| results.is_none()).unwrap_or_default();
            results.map(StatusCodes::failure).into_iter().flatten().chain(old.iter().filter(|s| !s.passed()))
        });
        let trusted_by_now = deltas()
            .any(|d| d.validation_deltas().success().iter().any(|s| s.code() == "signingCredential.trusted"));
        let inner: BTreeSet<&str> = recorded
            .map(ValidationStatus::code)
            .filter(|c| !(trusted_by_now && *c == "signingCredential.untrusted"))
            .chain(deltas().flat_map(|d| d.validation_deltas().failure()).map(ValidationStatus::code))
            .collect();
        let inner: Vec<&str> = inner.into_iter().collect();
        let standing = if results.validation_state() == ValidationState::Trusted {
            Standing::Trusted
        } else {
            standing(&codes, trusted)
        };
        let said: BTreeSet<String> = codes
            .iter()
            .map(|c| (*c).to_owned())
            .chain(inner.iter().map(|c| format!("ingredient: {c}")))
            .collect();
        Some(Validation {
            standing,
            ingredients: self::standing(&inner, true),
            codes: said.into_iter().take(16).collect(),
        })
    }

    /// From the codes of what failed.
    pub(super) fn standing(failures: &[&str], trusted: bool) -> Standing {
        let any = |f: &dyn Fn(&str) -> bool| failures.iter().any(|c| f(c));
        let rest = |known: &[&str]| failures.iter().all(|c| known.contains(c));
        let content = [
            "assertion.dataHash.mismatch",
            "assertion.bmffHash.mismatch",
            "assertion.boxesHash.mismatch",
            "assertion.collectionHash.mismatch",
        ];
        if any(&|c| content.contains(&c)) {
            Standing::ContentChanged
        } else if any(&|c| c.ends_with(".mismatch") && !c.starts_with("timeStamp.")) {
            Standing::ClaimChanged
        } else if any(&|c| c == "signingCredential.ocsp.revoked" || c == "signingCredential.revoked") {
            Standing::Revoked
        } else if failures.is_empty() {
            if trusted { Standing::Trusted } else { Standing::Unknown }
        } else if rest(&["signingCredential.untrusted"]) {
            Standing::Unknown
        } else if rest(&[
            "signingCredential.untrusted",
            "signingCredential.expired",
            "claimSignature.outsideValidity",
        ]) {
            Standing::Expired
        } else {
            Standing::Malformed
        }
    }
}

#[cfg(all(test, feature = "c2pa"))]
mod tests {
    use super::validation::standing;
    use super::*;

    #[test]
    fn expired_is_not_tampered() {
        for (codes, trusted, expected) in [
            (&[][..], true, Standing::Trusted),
            (&[], false, Standing::Unknown),
            (&["signingCredential.untrusted"], false, Standing::Unknown),
            (&["signingCredential.untrusted", "signingCredential.expired"], false, Standing::Expired),
            (&["signingCredential.expired", "assertion.dataHash.mismatch"], false, Standing::ContentChanged),
            (&["signingCredential.untrusted", "claimSignature.mismatch"], false, Standing::ClaimChanged),
            (&["assertion.hashedURI.mismatch"], true, Standing::ClaimChanged),
            (&["signingCredential.ocsp.revoked"], true, Standing::Revoked),
            (&["assertion.action.malformed"], true, Standing::Malformed),
            (&["signingCredential.expired", "assertion.action.malformed"], false, Standing::Malformed),
        ] {
            assert_eq!(standing(codes, trusted), expected, "{codes:?}");
        }
    }

    #[test]
    fn lists_are_checked() {
        let error = |pem: &str| Trust::from_pem(pem).unwrap_err().to_string();
        assert!(error("").contains("no certificate"));
        assert!(error("hello").contains("no certificate"));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(error(key).contains("PRIVATE KEY"), "{}", error(key));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(error(broken).contains("certificate 1 is damaged"), "{}", error(broken));
    }
}
