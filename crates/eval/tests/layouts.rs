//! Each layout on a miniature of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;

use candor_eval::{
    Error,
    data::{Item, Label, Layout, detect_layout},
};
use proptest::prelude::*;
use tempfile::TempDir;

/// A folder with files; contents that do not matter are empty.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn files(names: &[&str]) -> TempDir {
    tree(&names.iter().map(|n| (*n, "")).collect::<Vec<_>>())
}

/// The items of a path, after its layout was recognised as expected.
fn read(path: &Path, layout: Layout) -> Vec<Item> {
    assert_eq!(detect_layout(path).unwrap(), layout);
    let items: Vec<Item> = layout.items(path).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(items.iter().all(|i| i.text.is_some() || i.path.is_file()), "{items:?}");
    let mut names: Vec<&str> = items.iter().map(|i| i.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), items.len(), "names repeat");
    assert!(items.iter().all(|i| i.label.is_fabricated() || i.generator.is_none()));
    items
}

fn named<'a>(items: &'a [Item], name: &str) -> &'a Item {
    items.iter().find(|i| i.name == name).unwrap_or_else(|| panic!("{name} not in {items:?}"))
}

fn text(item: &Item) -> &str {
    &item.text.as_ref().unwrap().text
}

#[test]
fn every_layout_says_where_it_is_from() {
    for layout in Layout::ALL {
        assert!(!layout.name().is_empty() && !layout.home().is_empty() && !layout.licence().is_empty());
    }
}

#[test]
fn manifest_csv() {
    let dir = tree(&[
        (
            "train.csv",
            "path,label,group,system,split,family\nai/b.png,ai,g2,Gen,train,gan\nreal/a.png,real,g1,human,dev,\n\
             c.png,spoof,,Gen,test,x\n",
        ),
        ("extra_sources.csv", "repo,pattern\nr,p\n"),
        ("ai/b.png", ""),
        ("real/a.png", ""),
        ("c.png", ""),
    ]);
    for path in [dir.path().to_owned(), dir.path().join("train.csv")] {
        let items = read(&path, Layout::Manifest);
        assert_eq!(items.len(), 3);
        let b = named(&items, "ai/b.png");
        assert_eq!(
            (b.label, b.group.as_str(), b.generator.as_deref()),
            (Label::Fabricated, "g2", Some("Gen"))
        );
        assert_eq!((b.split.as_deref(), b.columns["family"].as_str()), (Some("train"), "gan"));
        assert!(named(&items, "real/a.png").columns.is_empty());
        assert_eq!(named(&items, "c.png").group, "Gen");
    }
}

const LINES: &str = r#"{"id":"1","label":"human","text":"a","lang":"en","domain":"news","generator":null,"attack":null,"split":"train"}

{"id":"2","label":"ai","text":"b","lang":"en","domain":"news","generator":"x","attack":"homoglyph","split":"dev"}
"#;

#[test]
fn manifest_json_lines() {
    let dir = tree(&[("m.jsonl", LINES)]);
    let items = read(&dir.path().join("m.jsonl"), Layout::Manifest);
    assert_eq!((items[0].group.as_str(), items[1].group.as_str()), ("news", "x"));
    assert_eq!((text(&items[1]), items[1].text.as_ref().unwrap().line), ("b", 3));
    assert_eq!(items[1].columns["attack"], "homoglyph");
    assert_eq!(items[1].bytes().unwrap(), b"b");
}

#[test]
fn manifest_under_zstandard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.jsonl.zst");
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    std::fs::write(&path, ruzstd::encoding::compress_to_vec(LINES.as_bytes(), level)).unwrap();
    assert_eq!(read(&path, Layout::Manifest).len(), 2);
}

#[cfg(feature = "parquet")]
#[test]
fn manifest_in_parquet() {
    use std::sync::Arc;

    use parquet::{
        data_type::{ByteArray, ByteArrayType},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    let schema = "message m { required binary text (UTF8); required binary label (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
    for texts in [["a", "b"], ["c", "d"]] {
        let mut group = writer.next_row_group().unwrap();
        for values in [texts, ["human", "ai"]] {
            let mut column = group.next_column().unwrap().unwrap();
            let values = values.map(ByteArray::from);
            column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    let items = read(&path, Layout::Manifest);
    assert_eq!(items.iter().map(text).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!((items[3].label, items[3].text.as_ref().unwrap().line), (Label::Fabricated, 4));
    std::fs::write(&path, "PAR1 nothing").unwrap();
    assert!(detect_layout(&path).unwrap_err().to_string().contains("Parquet"));
}

#[test]
fn errors_name_file_line_and_remedy() {
    let dir = tree(&[("m.csv", "path,label\na.png,perhaps\nb.png,real\n,real\n")]);
    let path = dir.path().join("m.csv");
    let items: Vec<_> = Layout::Manifest.items(&path).unwrap().collect();
    let message = items[0].as_ref().unwrap_err().to_string();
    assert!(message.contains("m.csv, line 2") && message.contains("perhaps") && message.contains("bonafide"));
    assert!(items[1].is_ok());
    assert!(items[2].as_ref().unwrap_err().to_string().contains("line 4"));

    let dir = tree(&[("notes.txt", "nothing"), ("a.csv", "x,y\n1,2\n")]);
    for path in [dir.path().to_owned(), dir.path().join("notes.txt"), dir.path().join("a.csv")] {
        let e = detect_layout(&path).unwrap_err();
        assert!(matches!(e, Error::Layout { .. }) && e.to_string().contains("ASVspoof"), "{e}");
    }
    assert!(matches!(detect_layout(&dir.path().join("none")).unwrap_err(), Error::Io { .. }));
}

#[test]
fn folders_at_any_level() {
    let dir = files(&[
        "train/real/cam/1.JPG",
        "train/ai/gen/1.png",
        "x/y/Fake/2.wav",
        "x/y/Fake/notes.csv",
        "3.png",
    ]);
    let items = read(dir.path(), Layout::Folders);
    assert_eq!(items.len(), 3);
    let real = named(&items, "train/real/cam/1.JPG");
    assert_eq!(
        (real.label, real.group.as_str(), real.split.as_deref()),
        (Label::Genuine, "cam", Some("train"))
    );
    assert_eq!(named(&items, "x/y/Fake/2.wav").group, "x/y");
}

#[test]
fn genimage() {
    let dir = files(&[
        "Midjourney/imagenet_midjourney/val/ai/1.png",
        "Midjourney/imagenet_midjourney/val/nature/ILSVRC2012_val_00000001.JPEG",
        "BigGAN/imagenet_ai_0419_biggan/train/ai/2.png",
    ]);
    let items = read(dir.path(), Layout::GenImage);
    let fake = named(&items, "Midjourney/imagenet_midjourney/val/ai/1.png");
    assert_eq!((fake.generator.as_deref(), fake.split.as_deref()), (Some("Midjourney"), Some("dev")));
    let real = items.iter().find(|i| i.label == Label::Genuine).unwrap();
    assert_eq!(real.group, "ImageNet");
}

#[test]
fn forensynths_and_its_extension() {
    let names = [
        "progan/airplane/0_real/1.png",
        "progan/airplane/1_fake/2.png",
        "san/0_real/3.png",
        "san/1_fake/4.png",
    ];
    let items = read(files(&names).path(), Layout::ForenSynths);
    let fake = named(&items, "progan/airplane/1_fake/2.png");
    assert_eq!((fake.generator.as_deref(), fake.group.as_str()), (Some("progan"), "progan/airplane"));
    let more = [&names[..], &["wukong/0_real/5.png", "wukong/1_fake/6.png"]].concat();
    let items = read(files(&more).path(), Layout::AigcDetectBenchmark);
    assert_eq!(named(&items, "wukong/1_fake/6.png").generator.as_deref(), Some("wukong"));
}

#[test]
fn chameleon_and_wildrf() {
    let dir = files(&["Chameleon/test/0_real/1.jpg", "Chameleon/test/1_fake/2.jpg"]);
    assert_eq!(read(dir.path(), Layout::Chameleon).len(), 2);
    assert_eq!(read(&dir.path().join("Chameleon"), Layout::Chameleon).len(), 2);
    let dir = files(&["train/0_real/1.jpg", "test/reddit/0_real/2.jpg", "test/twitter/1_fake/3.jpg"]);
    let items = read(dir.path(), Layout::WildRf);
    let fake = named(&items, "test/twitter/1_fake/3.jpg");
    assert_eq!(
        (fake.group.as_str(), fake.generator.as_deref(), fake.split.as_deref()),
        ("twitter", None, Some("test"))
    );
}

#[test]
fn asvspoof_2019() {
    let protocol = "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.";
    let dir = tree(&[
        (&format!("{protocol}train.trn.txt"), "LA_0079 LA_T_1138215 - - bonafide\n"),
        (&format!("{protocol}eval.trl.txt"), "LA_0039 LA_E_2834763 - A11 spoof\n"),
        ("LA/ASVspoof2019_LA_train/flac/LA_T_1138215.flac", ""),
        ("LA/ASVspoof2019_LA_eval/flac/LA_E_2834763.flac", ""),
    ]);
    let items = read(dir.path(), Layout::AsvSpoof2019La);
    let spoof = named(&items, "LA_E_2834763");
    assert_eq!(
        (spoof.group.as_str(), spoof.generator.as_deref(), spoof.split.as_deref()),
        ("A11", Some("A11"), Some("eval"))
    );
    assert_eq!(named(&items, "LA_T_1138215").group, "LA_0079");
    assert_eq!(read(&dir.path().join(format!("{protocol}eval.trl.txt")), Layout::AsvSpoof2019La).len(), 1);
}

#[test]
fn asvspoof_2021() {
    let la = "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\nLA_0020 LA_E_1 g722 loc_tx bonafide bonafide notrim progress\n";
    let dir = tree(&[
        ("keys/LA/CM/trial_metadata.txt", la),
        ("ASVspoof2021_LA_eval/flac/LA_E_9332881.flac", ""),
        ("ASVspoof2021_LA_eval/flac/LA_E_1.flac", ""),
    ]);
    let items = read(dir.path(), Layout::AsvSpoof2021La);
    assert_eq!((items[0].columns["codec"].as_str(), items[1].split.as_deref()), ("alaw", Some("progress")));
    assert_eq!((items[1].label, items[1].group.as_str()), (Label::Genuine, "LA_0020"));
    assert_eq!(read(&dir.path().join("keys/LA/CM/trial_metadata.txt"), Layout::AsvSpoof2021La).len(), 2);

    let df = "LA_0043 DF_E_2000026 mp3m4a asvspoof A09 spoof notrim eval traditional_vocoder - - - -\n";
    let dir = tree(&[
        ("keys/DF/CM/trial_metadata.txt", df),
        ("ASVspoof2021_DF_eval_part00/ASVspoof2021_DF_eval/flac/DF_E_1.flac", ""),
        ("ASVspoof2021_DF_eval_part01/ASVspoof2021_DF_eval/flac/DF_E_2000026.flac", ""),
    ]);
    let items = read(dir.path(), Layout::AsvSpoof2021Df);
    assert!(items[0].path.to_string_lossy().contains("part01"));
}

#[test]
fn asvspoof_5() {
    let dir = tree(&[
        ("ASVspoof5_protocols/ASVspoof5.train.tsv", "T_4850 T_0000000000 F - - - AC3 A05 spoof -\n"),
        (
            "ASVspoof5_protocols/ASVspoof5.eval.track_1.tsv",
            "E_1 E_0000000001 M C05 3 7 - bonafide bonafide -\nbroken\n",
        ),
        ("flac_T/T_0000000000.flac", ""),
        ("flac_E_eval/E_0000000001.flac", ""),
    ]);
    assert_eq!(detect_layout(dir.path()).unwrap(), Layout::AsvSpoof5);
    let items: Vec<_> = Layout::AsvSpoof5.items(dir.path()).unwrap().collect();
    assert!(items[1].as_ref().unwrap_err().to_string().contains("line 2"));
    let (eval, train) = (items[0].as_ref().unwrap(), items[2].as_ref().unwrap());
    assert!(eval.path.is_file() && train.path.is_file());
    assert_eq!((eval.label, eval.columns["codec"].as_str()), (Label::Genuine, "C05"));
    assert_eq!((train.generator.as_deref(), train.split.as_deref()), (Some("A05"), Some("train")));
    let bare = tree(&[("ASVspoof5.train.tsv", "T_4850 T_0000000000 F - - - AC3 A05 spoof -\n")]);
    let error = Layout::AsvSpoof5.items(bare.path()).err().unwrap().to_string();
    assert!(error.contains("flac"), "{error}");
}

#[test]
fn in_the_wild() {
    let dir = tree(&[
        ("meta.csv", "file,speaker,label\n0.wav,Alec Guinness,spoof\n4.wav,Christopher Hitchens,bona-fide\n"),
        ("0.wav", ""),
        ("4.wav", ""),
    ]);
    let items = read(dir.path(), Layout::InTheWild);
    assert_eq!((items[0].label, items[0].group.as_str()), (Label::Fabricated, "Alec Guinness"));
    assert_eq!(items[1].label, Label::Genuine);
}

#[test]
fn wavefake_and_fake_or_real() {
    let dir = files(&[
        "generated_audio/ljspeech_hifiGAN/LJ001-0001_generated.wav",
        "generated_audio/common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech/generated/gen_0.wav",
        "LJSpeech-1.1/wavs/LJ001-0001.wav",
    ]);
    let items = read(dir.path(), Layout::WaveFake);
    assert_eq!(items.iter().filter(|i| i.label.is_fabricated()).count(), 2);
    let fake = named(&items, "generated_audio/ljspeech_hifiGAN/LJ001-0001_generated.wav");
    assert_eq!(fake.generator.as_deref(), Some("ljspeech_hifiGAN"));

    let dir = files(&["for-norm/testing/fake/a.wav", "for-norm/testing/real/b.wav"]);
    let items = read(dir.path(), Layout::FakeOrReal);
    assert_eq!((items[0].split.as_deref(), items[0].group.as_str()), (Some("test"), "for-norm"));
    let dir = files(&["training/fake/a.wav", "testing/real/b.wav", "validation/real/c.wav"]);
    assert_eq!(read(dir.path(), Layout::FakeOrReal).len(), 3);
}

#[test]
fn hc3_takes_every_answer_once() {
    let row = r#"{"question":"q","human_answers":["a","b"],"chatgpt_answers":["c"],"source":"finance"}"#;
    let dir = tree(&[("all.jsonl", row), ("finance.jsonl", row)]);
    let items = read(dir.path(), Layout::Hc3);
    assert_eq!(items.len(), 3);
    assert_eq!((text(&items[2]), items[2].generator.as_deref()), ("c", Some("ChatGPT")));
    assert_eq!(read(&dir.path().join("finance.jsonl"), Layout::Hc3).len(), 3);
}

#[test]
fn raid() {
    let header = "id,adv_source_id,source_id,model,decoding,repetition_penalty,attack,domain,title,prompt,generation\n";
    let csv = format!(
        "{header}u1,u1,s1,human,,,none,news,T,,\"a\nb\"\nu2,u1,s1,gpt4,greedy,no,homoglyph,news,T,p,\"c, d\"\n"
    );
    let dir = tree(&[("train.csv", &csv), ("train_none.csv", &csv), ("test.csv", "id,generation\nu3,e\n")]);
    let items = read(dir.path(), Layout::Raid);
    assert_eq!(items.len(), 2);
    assert_eq!((text(&items[0]), items[0].label, items[0].group.as_str()), ("a\nb", Label::Genuine, "s1"));
    assert_eq!((items[1].text.as_ref().unwrap().line, items[1].columns["attack"].as_str()), (4, "homoglyph"));
    assert_eq!((items[1].generator.as_deref(), items[1].split.as_deref()), (Some("gpt4"), Some("train")));
    assert_eq!(read(&dir.path().join("train_none.csv"), Layout::Raid).len(), 2);
}

#[test]
fn m4_and_semeval() {
    let row = |model: &str| {
        format!(
            r#"{{"prompt":"p","human_text":"h","machine_text":["{model} text"],"model":"{model}","source":"arxiv","source_ID":1}}"#
        )
    };
    let dir = tree(&[("arxiv_chatGPT.jsonl", &row("chatGPT")), ("arxiv_cohere.jsonl", &row("cohere"))]);
    let items = read(dir.path(), Layout::M4);
    // The human text stands in both files.
    assert_eq!(items.iter().filter(|i| i.label == Label::Genuine).count(), 1);
    assert_eq!(
        items.iter().filter_map(|i| i.generator.as_deref()).collect::<Vec<_>>(),
        ["chatGPT", "cohere"]
    );

    let dir = tree(&[(
        "subtaskA_dev_monolingual.jsonl",
        "{\"text\":\"a\",\"label\":1,\"model\":\"bloomz\",\"source\":\"arxiv\",\"id\":0}\n{\"text\":\"b\",\"label\":0,\"model\":\"human\",\"source\":\"arxiv\",\"id\":1}\n",
    )]);
    let items = read(dir.path(), Layout::SemEval2024);
    assert_eq!((items[0].generator.as_deref(), items[0].split.as_deref()), (Some("bloomz"), Some("dev")));
    assert_eq!((items[1].label, items[1].group.as_str()), (Label::Genuine, "arxiv"));
}

#[test]
fn ghostbuster() {
    let dir = files(&[
        "essay/human/1.txt",
        "essay/gpt/1.txt",
        "essay/gpt/logprobs/1-davinci.txt",
        "essay/prompts/1.txt",
        "reuter/human/AaronPressman/1.txt",
        "reuter/claude/AaronPressman/1.txt",
        "wp/gpt_prompt1/1.txt",
    ]);
    let items = read(dir.path(), Layout::Ghostbuster);
    assert_eq!(items.len(), 5);
    assert_eq!(named(&items, "reuter/human/AaronPressman/1.txt").group, "reuter/AaronPressman");
    assert_eq!(named(&items, "wp/gpt_prompt1/1.txt").generator.as_deref(), Some("gpt_prompt1"));
}

#[test]
fn pan() {
    let dir = tree(&[(
        "train.jsonl",
        "{\"id\":\"a\",\"text\":\"t\",\"model\":\"human\",\"label\":0,\"genre\":\"essays\"}\n{\"id\":\"b\",\"text\":\"u\",\"model\":\"gpt-4o\",\"label\":1,\"genre\":\"essays\"}\n",
    )]);
    let items = read(dir.path(), Layout::Pan);
    assert_eq!((items[0].group.as_str(), items[1].group.as_str()), ("essays", "gpt-4o"));
    assert_eq!((items[1].split.as_deref(), items[1].columns["genre"].as_str()), (Some("train"), "essays"));

    let row = |model: &str| format!("{{\"id\":\"{model}/news-biden/art-081\",\"text\":\"t\"}}\n");
    let dir = tree(&[("human.jsonl", &row("human")), ("machines/gemini-pro.jsonl", &row("gemini-pro"))]);
    let items = read(dir.path(), Layout::Pan);
    assert_eq!((items[0].label, items[0].group.as_str()), (Label::Genuine, "news-biden"));
    assert_eq!(items[1].generator.as_deref(), Some("gemini-pro"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), place in 0usize..6) {
        let starts = [
            "path,label\n", "file,speaker,label\n", "id,adv_source_id,source_id,model,generation\n",
            "{\"human_answers\":", "{\"id\":1,\"label\":", "",
        ];
        let content = [starts[place].as_bytes(), &bytes].concat();
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.csv", "a.jsonl", "a.jsonl.zst", "trial_metadata.txt"] {
            let path = dir.path().join(name);
            std::fs::write(&path, &content).unwrap();
            let _ = detect_layout(&path);
            for layout in Layout::ALL {
                if let Ok(items) = layout.items(&path) {
                    prop_assert!(items.count() <= content.len() + 1);
                }
            }
        }
    }
}
