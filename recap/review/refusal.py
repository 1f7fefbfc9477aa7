"""Captions that speak of the model instead of the clip: refusals, apologies, offers of help."""

from __future__ import annotations

import re

from recap.review.context import Context
from recap.review.draft import Draft

_SEEN = r"(?:video|image|picture|clip|footage|frames?|file|media|content|attachment)s?"
_MODEL = r"(?:AI|artificial intelligence|(?:large |visual |multimodal |text-based )?(?:language|vision) model|LLM|chatbot)"
_PATTERNS = (
    rf"\bas an? (?:{_MODEL})(?: (?:model|assistant|system|language model))?\s*(?:,|I\b|and I\b|trained|developed|without)",
    rf"\b(?:I am|I'm|I’m) (?:just |only |merely )?an? (?:{_MODEL})",
    r"\b(?:I am|I'm|I’m) (?:really |very |so |truly )?(?:sorry|afraid|unable|not able|not allowed|not programmed|here to)\b",
    r"\bI (?:can(?:no|['’])t|can not|could(?: not|n['’]t)|do(?: not|n['’]t)|wo(?:uld not|n['’]t)|must decline|apologi[sz]e"
    r"|have no (?:access|way|ability)|lack the|(?:only )?see no|hope (?:this|that)|need (?:more|to see))\b",
    r"\bI(?: would|['’]d)(?: be (?:happy|glad|able)| need| recommend| suggest| love to help)\b",
    r"\bI (?:can |could )?(?:see|think|believe|guess|assume|notice|observe)\b|\bI can (?:tell|help|describe|provide)\b",
    r"\b(?:my|our) (?:apologies|training|knowledge cutoff|guidelines|programming|capabilities|limitations|developers)\b",
    r"(?:^|[.!?]\s+)(?:Unfortunately|Apologies|Sorry),? (?:but )?(?:I|we|it is not possible|the " + _SEEN + ")",
    rf"\b(?:no|without (?:a|an|the|any)) (?:actual )?{_SEEN} (?:(?:was|were|is|are|has been|have been|to) )?"
    r"(?:provided|attached|uploaded|given|supplied|shared|included|analy[sz]e|describe)\b",
    rf"\b(?:unable|not able|not possible|impossible) (?:for me )?to (?:view|access|watch|analy[sz]e|process|open|load|describe|caption|provide)"
    rf" (?:the|this|any|your|that|an?)\b[^.]{{0,30}}\b(?:{_SEEN}|description|caption)\b",
    rf"\b[Pp]lease (?!provide (?:me with )?an? (?:\w+ ){{0,2}}(?:description|caption) of (?:the|this) {_SEEN})(?:provide|upload|share|send|attach|supply|try)\b[^.]{{0,60}}\b(?:{_SEEN}|details?|information|again|context)\b",
    r"\b(?:let me know|feel free to|happy to help|glad to help|hope this helps)\b",
    r"\bif you (?:have any|need (?:any|more|further)|(?:would|'d) like (?:me|more|a)|can provide|could provide|provide|upload)\b",
    r"\b(?:against|violates?|comply with|due to) (?:my |our |the |content )*(?:guidelines|polic(?:y|ies)|safety)\b",
    r"\b(?:assist|help(?: you)?|comply) with (?:that|this|your|the) (?:request|task|question|image|video)?",
    r"\bAs a (?:helpful |responsible |virtual |visual )+assistant\b",
)
_CHINESE = (
    r"(?:^|[。！？，\n])\s*(?:很|非常|十分)?(?:抱歉|对不起|不好意思|遗憾)[，,。！]?",
    r"作为(?:一个|一名|一款)?(?:大型)?(?:AI|人工智能|语言模型|智能助手|视觉模型)(?!.{0,4}(?:展品|机器人|角色))",
    r"我(?:只?是(?:一个|一款)?(?:AI|人工智能|语言模型|智能助手)|无法|不能|没有(?:能力|办法)|看不到|不具备|可以帮|很乐意)",
    r"无法(?:查看|观看|访问|处理|识别|分析|打开|播放)(?:您|你|该|这个|这段|此|任何)?.{0,4}(?:视频|图片|图像|文件|内容)",
    r"请(?:您|你)?(?:提供|上传|发送|重新)|如果(?:您|你)(?:有|需要|能|可以|想)|希望(?:这|以上).{0,6}(?:帮助|有帮助)",
)
_REFUSAL = re.compile("|".join((*_PATTERNS, *_CHINESE)), re.M)
_REFUSAL_ANY_CASE = re.compile(_PATTERNS[0], re.I)


def is_refusal(draft: Draft, context: Context) -> bool:
    """The caption's own words, outside quotation marks, decline, apologise or speak as a model."""
    text = draft.unquoted
    return _REFUSAL.search(text) is not None or _REFUSAL_ANY_CASE.search(text) is not None
