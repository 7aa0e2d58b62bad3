//! Throughput of the text stages, in bytes of UTF-8 a second on one thread.

use std::{hint::black_box, time::Duration};

use candor_features::{
    Limits,
    sniff::TextFormat,
    text::{TextConfig, bag, decode, document, features, normalise, segment, style},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ENGLISH: &str = "The committee met on Tuesday—its third session of the year—and agreed that “nothing” had \
    changed since 1998. However, Dr. Green didn't vote; she'd left early, as usual, with 3.5 pages of notes.\n\n";
const CHINESE: &str = "委员会于星期二召开了今年的第三次会议，一致认为自1998年以来“没有任何变化”。然而，格林博士没有投票；\
    她像往常一样，带着三页半的笔记提前离开了。\n\n";

/// A text of about `len` bytes whose words differ from copy to copy.
fn text(unit: &str, len: usize) -> String {
    (0..len / unit.len())
        .map(|i| unit.replace("1998", &format!("{} x{}", i % 9999, i * 7919 % 8191)))
        .collect()
}

fn stages(c: &mut Criterion) {
    let mut group = c.benchmark_group("text");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let texts = [
        ("english-2k", text(ENGLISH, 2_000)),
        ("english-1m", text(ENGLISH, 1_000_000)),
        ("chinese-1m", text(CHINESE, 1_000_000)),
    ];
    for (name, text) in &texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let limits = Limits::default();
        let config = TextConfig::default();
        let doc = document(text);
        let norm = normalise(&doc.text);
        let seg = segment(&norm.text);
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            b.iter(|| decode(black_box(text.as_bytes()), TextFormat::Plain, &limits));
        });
        group.bench_function(BenchmarkId::new("normalise", name), |b| {
            b.iter(|| normalise(black_box(&doc.text)));
        });
        group
            .bench_function(BenchmarkId::new("segment", name), |b| b.iter(|| segment(black_box(&norm.text))));
        group.bench_function(BenchmarkId::new("ngram", name), |b| {
            b.iter(|| bag(black_box(&norm.text), &seg, &config.ngrams));
        });
        group.bench_function(BenchmarkId::new("style", name), |b| {
            b.iter(|| style(black_box(&doc), &norm, &seg));
        });
        group.bench_function(BenchmarkId::new("features", name), |b| {
            b.iter(|| features(black_box(&doc), &config));
        });
    }
    let sources = [
        ("gb18030", TextFormat::Plain, encoding_rs::GB18030.encode(&texts[2].1).0.into_owned()),
        ("html", TextFormat::Html, texts[1].1.replace("The", "</p><p class=\"x\">The <b>").into_bytes()),
        (
            "markdown",
            TextFormat::Plain,
            texts[1].1.replace("The", "- **The** [link](http://x.y)").into_bytes(),
        ),
    ];
    for (name, format, source) in &sources {
        group.throughput(Throughput::Bytes(source.len() as u64));
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            b.iter(|| decode(black_box(source), *format, &Limits::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
