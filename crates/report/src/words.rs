//! What the page says, in two languages.

use std::borrow::Cow;

use candor::{Label, MediaKind};

use crate::{reasons, scale::Support};

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

/// Everything that is written on the page. `{}` stands for a figure.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) skip: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) files: &'static str,
    pub(crate) items: &'static str,
    pub(crate) all: &'static str,
    pub(crate) search: &'static str,
    pub(crate) file: &'static str,
    pub(crate) label: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) probability: &'static str,
    pub(crate) ratio: &'static str,
    pub(crate) p_value: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) reasons: &'static str,
    pub(crate) evidence: &'static str,
    pub(crate) prior_note: &'static str,
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    pub(crate) p_note: &'static str,
    pub(crate) finding: &'static str,
    pub(crate) source: &'static str,
    pub(crate) details: &'static str,
    pub(crate) declared: &'static str,
    pub(crate) watermark: &'static str,
    pub(crate) learned: &'static str,
    pub(crate) statistical: &'static str,
    pub(crate) warnings: &'static str,
    pub(crate) map: &'static str,
    pub(crate) map_strength: &'static str,
    pub(crate) map_note: &'static str,
    pub(crate) no_map: &'static str,
    pub(crate) genuine: &'static str,
    pub(crate) machine: &'static str,
    pub(crate) play: &'static str,
    pub(crate) play_note: &'static str,
    pub(crate) spectrogram: &'static str,
    pub(crate) text_note: &'static str,
    pub(crate) text_cut: &'static str,
    pub(crate) no_media: &'static str,
    pub(crate) limits: &'static str,
    pub(crate) limit_lines: &'static [&'static str],
    pub(crate) rates: &'static str,
    pub(crate) rates_note: &'static str,
    pub(crate) condition: &'static str,
    pub(crate) flagged_machine: &'static str,
    pub(crate) flagged_genuine: &'static str,
    pub(crate) applies: &'static str,
    pub(crate) lineage: &'static str,
    pub(crate) lineage_note: &'static str,
    pub(crate) untitled: &'static str,
    pub(crate) made_with: &'static str,
    pub(crate) signed_by: &'static str,
    pub(crate) done: &'static str,
    pub(crate) identity: &'static str,
    pub(crate) bytes: &'static str,
    pub(crate) format: &'static str,
    pub(crate) models: &'static str,
    pub(crate) version: &'static str,
    pub(crate) threshold: &'static str,
    pub(crate) seconds: &'static str,
    pub(crate) left_out: &'static str,
    pub(crate) back: &'static str,
    labels: [&'static str; 5],
    conclusions: [&'static str; 5],
    kinds: [&'static str; 3],
    support: [&'static str; 7],
    pub(crate) for_machine: &'static str,
    pub(crate) for_genuine: &'static str,
    pub(crate) undecided: &'static str,
}

impl Words {
    /// A sentence of a verdict in the language of the page, as far as it is known there.
    pub(crate) fn said<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.code == CHINESE.code { reasons::chinese(text) } else { Cow::Borrowed(text) }
    }

    fn at(label: Label) -> usize {
        Label::ALL.iter().position(|&l| l == label).unwrap_or(4)
    }

    /// A label as it is read.
    pub(crate) fn label(&self, label: Label) -> &'static str {
        self.labels.get(Self::at(label)).copied().unwrap_or_default()
    }

    /// What a label means, in a sentence.
    pub(crate) fn conclusion(&self, label: Label) -> &'static str {
        self.conclusions.get(Self::at(label)).copied().unwrap_or_default()
    }

    pub(crate) fn kind(&self, kind: MediaKind) -> &'static str {
        let [image, audio, text] = self.kinds;
        match kind {
            MediaKind::Image => image,
            MediaKind::Audio => audio,
            MediaKind::Text => text,
        }
    }

    /// What a ratio supports, in a sentence.
    pub(crate) fn supports(&self, support: Support, llr: f64) -> String {
        if support == Support::None {
            return self.undecided.to_owned();
        }
        let strength = self.support.get(support as usize).copied().unwrap_or_default();
        let side = if llr > 0.0 { self.for_machine } else { self.for_genuine };
        side.replace("{}", strength)
    }
}

const ENGLISH: Words = Words {
    code: "en",
    title: "Is it machine-made?",
    skip: "Skip to the results",
    overview: "Overview",
    files: "files",
    items: "What was found in each file",
    all: "all",
    search: "Find a file or a reason",
    file: "File",
    label: "Conclusion",
    kind: "Kind",
    probability: "Probability of machine-made",
    ratio: "Likelihood ratio",
    p_value: "p-value",
    reason: "First reason",
    reasons: "Why",
    evidence: "How much that weighs",
    prior_note: "A probability depends on what was known before the file was looked at, which is not the detector's to say. The \
                 evidence is the likelihood ratio; this is what it makes of different beginnings:",
    before: "Before",
    after: "After",
    p_note: "of genuine calibration items score at least as high. Files are flagged from {} on.",
    finding: "Finding",
    source: "Kind of evidence",
    details: "Figures",
    declared: "the file states it",
    watermark: "watermark",
    learned: "trained detector",
    statistical: "measurement",
    warnings: "To be kept in mind",
    map: "Where the score comes from",
    map_strength: "Strength of the overlay",
    map_note: "Colours show which parts raised or lowered the detector's score. They do not show which parts were altered.",
    no_map: "This detector names no parts.",
    genuine: "genuine",
    machine: "machine-made",
    play: "The recording as it was judged: mono, 16 kHz",
    play_note: "The first 60 seconds can be played.",
    spectrogram: "Spectrogram, 0 to 8 kHz from bottom to top, {} s from left to right, lighter is louder",
    text_note: "Each sentence is coloured by what it adds to the evidence of the whole. Point at a sentence, or focus it, for its figure.",
    text_cut: "The text goes on; the rest is not shown.",
    no_media: "The file was not at hand when this report was made, so that there is nothing to look at.",
    limits: "What this does not show",
    limit_lines: &[
        "A score is no proof. The detectors are wrong at the rates given here, and more often on material unlike that of the measurement.",
        "That nothing was found does not show that a file is genuine.",
        "What a file states about itself can be forged or removed; that it states nothing means nothing.",
        "Nothing here says who made a file, when, or with what intent.",
    ],
    rates: "How often this detector is right",
    rates_note: "Measured on development items that took no part in training, with 95 % intervals, at the usual threshold.",
    condition: "Condition",
    flagged_machine: "Machine-made flagged",
    flagged_genuine: "Genuine flagged",
    applies: "nearest to this file",
    lineage: "History, as the Content Credentials tell it",
    lineage_note: "What each step was made from stands below it. The reasons say what checking the signatures found.",
    untitled: "untitled",
    made_with: "made with",
    signed_by: "signed by",
    done: "done",
    identity: "What was looked at, and with what",
    bytes: "bytes",
    format: "Format",
    models: "Models",
    version: "Candor version",
    threshold: "Flagging threshold",
    seconds: "s",
    left_out: "{} further files are in the table above, without pages of their own: those with the strongest findings are shown.",
    back: "back to the table",
    labels: ["AI-generated", "suspected", "inconclusive", "no sign", "error"],
    conclusions: [
        "The file itself states that it was made by generative AI.",
        "The evidence of the detector passes the flagging threshold.",
        "Nothing is concluded: there is too little evidence either way, or the file is not fit for it.",
        "Nothing was found that speaks for generative AI.",
        "The file could not be judged.",
    ],
    kinds: ["image", "audio", "text"],
    support: ["no", "weak", "moderate", "moderately strong", "strong", "very strong", "extremely strong"],
    for_machine: "The score gives {} support to machine-made over genuine.",
    for_genuine: "The score gives {} support to genuine over machine-made.",
    undecided: "The score does not help to tell machine-made from genuine.",
};

const CHINESE: Words = Words {
    code: "zh-CN",
    title: "是机器生成的吗？",
    skip: "跳到结果",
    overview: "概览",
    files: "个文件",
    items: "各文件的发现",
    all: "全部",
    search: "查找文件或理由",
    file: "文件",
    label: "结论",
    kind: "类型",
    probability: "机器生成的概率",
    ratio: "似然比",
    p_value: "p 值",
    reason: "首要理由",
    reasons: "理由",
    evidence: "证据的分量",
    prior_note: "概率取决于查看文件之前已知的情况，而这不由检测器决定。证据本身是似然比；下表列出它使不同的先验概率变成多少：",
    before: "之前",
    after: "之后",
    p_note: "的真实校准样本得分至少同样高。达到 {} 即被标记。",
    finding: "发现",
    source: "证据种类",
    details: "数值",
    declared: "文件自述",
    watermark: "水印",
    learned: "训练得到的检测器",
    statistical: "测量值",
    warnings: "请注意",
    map: "得分来自何处",
    map_strength: "叠加图的强度",
    map_note: "颜色表示哪些部分提高或降低了检测器的得分，并不表示哪些部分被改动过。",
    no_map: "该检测器不区分各部分。",
    genuine: "真实",
    machine: "机器生成",
    play: "被判断的录音：单声道，16 kHz",
    play_note: "可播放前 60 秒。",
    spectrogram: "频谱图：自下而上 0 至 8 kHz，自左至右 {} 秒，越亮越响",
    text_note: "每个句子的颜色表示它对整体证据的贡献。指向或聚焦句子可查看数值。",
    text_cut: "文本未完，其余部分未显示。",
    no_media: "制作本报告时文件不在手边，因此没有可查看的内容。",
    limits: "本报告不能说明什么",
    limit_lines: &[
        "得分不是证明。检测器会以此处所列的比率出错；若材料与测量所用的不同，出错更多。",
        "没有发现迹象并不说明文件是真实的。",
        "文件对自身的声明可以伪造或删除；没有声明不说明任何问题。",
        "这里不说明文件由谁、何时、出于何种意图制作。",
    ],
    rates: "该检测器的准确程度",
    rates_note: "在未参与训练的开发样本上、以通常的阈值测得，附 95 % 区间。",
    condition: "条件",
    flagged_machine: "机器生成被标记",
    flagged_genuine: "真实被误标",
    applies: "与本文件最接近",
    lineage: "内容凭证讲述的来历",
    lineage_note: "每一步由其下所列内容制成。签名核验的结果见理由。",
    untitled: "无标题",
    made_with: "制作工具",
    signed_by: "签署者",
    done: "操作",
    identity: "查看了什么，用什么查看",
    bytes: "字节",
    format: "格式",
    models: "模型",
    version: "Candor 版本",
    threshold: "标记阈值",
    seconds: "秒",
    left_out: "另有 {} 个文件仅列于上表，没有单独的页面：此处显示发现最强的文件。",
    back: "回到表格",
    labels: ["AI 生成", "疑似", "无法判断", "未见迹象", "错误"],
    conclusions: [
        "文件自身声明由生成式人工智能制作。",
        "检测器的证据达到标记阈值。",
        "不作结论：两方面的证据都不足，或文件不适合判断。",
        "没有发现表明由生成式人工智能制作的迹象。",
        "无法判断该文件。",
    ],
    kinds: ["图像", "音频", "文本"],
    support: ["无", "弱", "中等", "中强", "强", "很强", "极强"],
    for_machine: "得分对“机器生成”而非“真实”给予{}支持。",
    for_genuine: "得分对“真实”而非“机器生成”给予{}支持。",
    undecided: "得分无助于区分机器生成与真实。",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_same_places_for_figures() {
        let places = |w: &Words| {
            [w.p_note, w.spectrogram, w.left_out, w.for_machine, w.for_genuine]
                .map(|t| t.matches("{}").count())
        };
        assert_eq!(places(&ENGLISH), [1; 5]);
        assert_eq!(places(&CHINESE), [1; 5]);
        assert_eq!(ENGLISH.limit_lines.len(), CHINESE.limit_lines.len());
    }
}
