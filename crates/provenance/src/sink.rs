//! What the container readers collect, under one budget for the whole file.

use std::io::Read as _;

use crate::meta::xml::{self, Prop};
use crate::report::{Limits, Location, Warning, WarningCode};

/// The kind of structure that a key and its text come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// PNG `tEXt`, `zTXt`, `iTXt`; key = keyword.
    Png,
    /// TIFF and EXIF tags; key = tag name.
    Exif,
    /// IPTC-IIM datasets; key = `record:dataset`.
    Iim,
    /// Comments without a key: JPEG COM, GIF comment extension.
    Comment,
    /// RIFF, AIFF and CAF chunks of text; key = four-character code.
    Chunk,
    /// ID3v2 frames; key = frame identifier, with `:description` where it has one.
    Id3,
    /// Vorbis comments; key = field name.
    Vorbis,
    /// ISO-BMFF and `QuickTime` metadata; key = item name.
    Mp4,
    /// Matroska tags and FLV metadata; key = name.
    Video,
    /// PDF Info dictionary; key without slash.
    Pdf,
    /// Properties of office documents; key = name.
    Office,
    /// YAML front matter and HTML `meta`; key = name.
    Page,
}

/// A key and its text.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) space: Space,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) location: Location,
}

/// An XMP packet.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) props: Vec<Prop>,
    pub(crate) location: Location,
}

/// A C2PA manifest store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) data: Vec<u8>,
    pub(crate) location: Location,
}

/// How data is compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packing {
    Zlib,
    Gzip,
}

#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) limits: &'a Limits,
    items: usize,
    spent: usize,
    pub(crate) texts: Vec<Text>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) stores: Vec<Store>,
    pub(crate) warnings: Vec<Warning>,
}

pub(crate) fn place(place: impl Into<String>, offset: usize) -> Location {
    Location { place: place.into(), offset: Some(offset as u64) }
}

impl<'a> Sink<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            items: 0,
            spent: 0,
            texts: Vec::new(),
            packets: Vec::new(),
            stores: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn warn(&mut self, code: WarningCode, message: &str) {
        if self.warnings.len() < 32 && !self.warnings.iter().any(|w| w.code == code && w.message == message) {
            self.warnings.push(Warning { code, message: message.to_owned() });
        }
    }

    pub(crate) fn damaged(&mut self, what: &str) {
        self.warn(WarningCode::Damaged, &format!("the {what} is damaged or ends early"));
    }

    /// Counts one structure; false if the file has had its share.
    pub(crate) fn item(&mut self) -> bool {
        self.items = self.items.saturating_add(1);
        let ok = self.items <= self.limits.max_items;
        if !ok {
            self.warn(WarningCode::LimitReached, "the file has more structures than are read");
        }
        ok
    }

    /// Counts bytes that are copied, decompressed or searched; false if the file has had its share.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        self.spent = self.spent.saturating_add(bytes);
        let ok = self.spent <= self.limits.max_inflated;
        if !ok {
            self.warn(WarningCode::LimitReached, "the file's metadata unfolds to more than is read");
        }
        ok
    }

    /// Whether one value is of a size that is read.
    fn fits(&mut self, bytes: usize) -> bool {
        let ok = bytes <= self.limits.max_value;
        if !ok {
            self.warn(WarningCode::LimitReached, "a value is larger than what is read");
        }
        ok && self.spend(bytes)
    }

    /// Decompresses as far as the limits allow; what ends early is returned as far as it goes.
    pub(crate) fn inflate(&mut self, data: &[u8], packing: Packing) -> Option<Vec<u8>> {
        let left = self.limits.max_inflated.saturating_sub(self.spent);
        let cap = self.limits.max_value.min(left);
        let mut out = Vec::new();
        let limit = (cap as u64).saturating_add(1);
        let read = match packing {
            Packing::Zlib => flate2::read::ZlibDecoder::new(data).take(limit).read_to_end(&mut out),
            Packing::Gzip => flate2::read::GzDecoder::new(data).take(limit).read_to_end(&mut out),
        };
        self.spend(out.len());
        if out.len() > cap {
            self.warn(WarningCode::LimitReached, "compressed data unfolds to more than is read");
            return None;
        }
        if read.is_err() {
            self.damaged("compressed data");
            if out.is_empty() {
                return None;
            }
        }
        Some(out)
    }

    pub(crate) fn text(
        &mut self,
        space: Space,
        key: impl Into<String>,
        value: impl Into<String>,
        at: Location,
    ) {
        let (key, value) = (key.into(), value.into());
        if self.item() && self.fits(key.len().saturating_add(value.len())) {
            self.texts.push(Text { space, key, value, location: at });
        }
    }

    pub(crate) fn xmp(&mut self, data: &[u8], location: Location) {
        if !self.item() || !self.fits(data.len()) {
            return;
        }
        let doc = xml::read(data, self.limits);
        if doc.cut {
            self.damaged("XMP packet");
        }
        self.packets.push(Packet { props: doc.props, location });
    }

    pub(crate) fn store(&mut self, data: &[u8], location: Location) {
        if self.item() && self.fits(data.len()) {
            self.stores.push(Store { data: data.to_vec(), location });
        }
    }
}
