"""Captions that speak of the model instead of the clip: refusals, apologies, offers of help."""

from __future__ import annotations

import re
from collections.abc import Sequence

from recap.review.context import Context
from recap.review.draft import Draft, words
from recap.review.language import reads_english

_SEEN = r"(?:video|image|picture|clip|footage|frame|file|media|content|attachment|visual)s?"
_DONE = (
    r"(?:load|found|process|decode|open|read|view|access|display|describe|caption|provid|produce|analy[sz]"
    r"|generat|giv)\w*"
)
_UNDONE = r"(?:failed to|could ?n[o'’]t be|can(?:not|['’]t) be|(?:was|were) ?n[o'’]t)"
_AI = r"(?:AI|artificial intelligence|LLM|chatbot|(?:language|vision|multimodal|generative) (?:\w+ )?model)"
_I = re.compile(r"\bI(?:['’](?:m|d|ll|ve)\b|\s+(?=[a-z]))")
_BEFORE_I = re.compile(r"(?:^|[^\w\s-]\s*|\b(?P<word>[A-Za-z]\w*)\s+)\Z")
_OPENS = re.compile(r"Here|Since|As|Because|If|What|When|While|And|But|So|That|However|Although|Yes|No|Okay|OK|\w+ly")
_NUMBERED = frozenset("letter type part phase class level chapter form grade act stage king queen pope war".split())
_LISTENER = (  # speaks to whoever asked
    rf"[Yy]our (?:{_SEEN}|request|question|message|query|input|description|prompt)\b",
    r"you (?:(?:have |had )?(?:mentioned|uploaded|provided|shared|asked|requested|sent|attached)|were looking for)\b",
    r"(?:[Ww]ould|[Dd]o|[Cc]an|[Cc]ould|[Ww]ill) you (?:like|want|need|please|provide|share|tell|describe)\b",
    r"if you (?:have any|need (?:any|more|further)|(?:would|'d) like (?:me|more|a)|(?:can |could )?provide|upload)\b",
    rf"[Pp]lease (?!provide (?:me with )?an? (?:\w+ ){{0,2}}(?:description|caption) of (?:the|this) {_SEEN})"
    rf"(?:provide|upload|share|send|attach|supply|try|check|resubmit|note that)\b",
    r"(?:you(?: are|['’]re)|are you) (?:interested|looking for|asking)\b|\bfor your needs\b",
    r"(?:let me know|feel free to|(?:happy|glad) to help|(?:hope|trust) (?:this|that) helps|anything else\b[^.]*\?)",
    r"Try (?:sending|uploading|sharing|again)\b",
    r"Thank(?:s| you) for (?:your|the|sharing|providing|asking)\b",
)
_MACHINE = (  # speaks of a model, its rules or its failures
    rf"[Aa]s an? (?:[\w-]+ ){{0,2}}{_AI}(?: (?:model|assistant|system))?\s*(?:,|trained|developed|without|may|can)",
    rf"[Bb]eing an? (?:[\w-]+ ){{0,2}}{_AI}\b|\b[Tt]his (?:assistant|AI) (?:will|is|can|does)",
    rf"(?:an?|the) {_AI} (?:may|might|could|cannot|can|will)(?: not)? (?:make|misjudge|err|be wrong|see|view|provide)",
    rf"(?:generated|written|produced|created) by an? {_AI}\b",
    r"[Aa]s a (?:helpful |responsible |virtual |visual )+assistant\b",
    r"(?:against|violates?|violation of|comply with|due to) (?:\w+ ){0,3}(?:polic(?:y|ies)|guidelines|rules)\b",
    r"(?:usage|content) polic(?:y|ies)\b|\brequested (?:content|video|caption|description)\b",
    r"(?:assist|help(?: you)?|comply) with (?:that|this|your|the) (?:request|task|question|image|video)",
    r"[Tt]his (?:description|caption|response|answer|summary|interpretation) (?:was|is|may|might|should|has)\b",
    r"(?:Disclaimer|Error|Note|Warning)\s*:",
)
_FAILURE = (  # there was nothing to see
    rf"(?:no|without (?:a|an|the|any)) (?:actual )?{_SEEN} (?:(?:was|were|is|are|has been|have been|to) )?"
    r"(?:provided|attached|uploaded|given|supplied|shared|included|available|analy[sz]e|describe)\b",
    rf"There (?:is no|are no|(?:does(?: not|n['’]t)|do(?: not|n['’]t)) (?:appear|seem) to be an?y?) {_SEEN}\b",
    rf"(?:unable|not able|not possible|impossible)(?: for \w+)? to {_DONE} (?:the|this|any|that|an?|these)\b",
    rf"(?:{_SEEN}|caption|description)\b[^.]{{0,60}}\b{_UNDONE} {_DONE}",
    rf"{_SEEN}\b[^.]{{0,20}}\b(?:was|is|were) (?:denied|inappropriate|corrupted|inaccessible|unavailable)\b",
    rf"(?:Unfortunately|Apologies|Sorry),? (?:but )?(?:we|it is not possible|the {_SEEN})",
    r"Sorry\b",
    r"nothing (?:can be said|to (?:describe|caption|say|report))\b",
)
_CHINESE = (
    r"(?<![自忘])我(?![们国])|您|随时告诉|本(?:描述|回答|答案)|(?:由|是)(?:AI|人工智能)(?:助手|模型)?(?:自动)?生成",
    r"(?:^|[。！？，\n])\s*(?:很|非常|十分)?(?:抱歉|对不起|不好意思|遗憾)[，,。！]",
    r"作为(?:一个|一名|一款)?(?:大型)?(?:AI|人工智能|语言模型|智能助手|视觉模型)(?!.{0,4}(?:展品|机器人|角色))",
    r"无法(?:查看|观看|访问|处理|识别|分析|打开|播放|加载|解析).{0,6}(?:视频|图片|图像|文件|内容)|文件格式",
    r"(?:该|此|这个)请求|违反.{0,6}(?:政策|规定|准则)|需要我",
    r"请(?:你)?(?:提供|上传|发送|重新|换)|如果你(?:有|需要|能|可以|想)|希望(?:这|以上).{0,6}(?:帮助|有帮助)",
)
_SPEAKS = re.compile(rf"\b(?:[Mm](?:y|e|yself)\b|{'|'.join((*_LISTENER, *_MACHINE, *_FAILURE))})")
_SPEAKS_CHINESE = re.compile("|".join(_CHINESE))
_MEDIA = frozenset(
    "image images video videos picture pictures clip clips footage frames file files media content caption"
    " description".split()
)
_ASKING = tuple(
    "upload request question answer chat conversation assist unsupport polic guideline violat described inappropriate"
    " ethic unethic resubmit provided attach safety rules permitted available unavailable sensitive legal"
    " generat".split()
)
_DENIALS = frozenset("no not cannot can't can’t isn't isn’t only should which missing without unable declined".split())
_SHOP_SHARE = 0.2


def is_refusal(draft: Draft, context: Context) -> bool:
    """Outside quotation marks there is a narrator or a listener, or the talk is of a model or of a failure."""
    text = draft.unquoted
    if not text.isascii() and _SPEAKS_CHINESE.search(text):
        return True
    if not reads_english(draft.caption.language):
        return False
    if _SPEAKS.search(text) or says_i(text):
        return True
    own = draft.own_sentences
    return any(talks_shop(words(sentence)) for sentence in {*own[:1], *own[-1:]})


def says_i(text: str) -> bool:
    """A narrator speaks; "World War I", "Elizabeth I" and "the letter I" do not count."""
    for match in _I.finditer(text):
        before = _BEFORE_I.search(text, max(0, match.start() - 30), match.start())
        word = before["word"] if before else "I"
        if not word or _OPENS.fullmatch(word) or (word.islower() and word not in _NUMBERED):
            return True
    return False


def talks_shop(sentence: Sequence[str]) -> bool:
    """A sentence that denies something, with little in it but words for media, requests and rules."""
    if _DENIALS.isdisjoint(sentence):
        return False
    asking = sum(word.startswith(_ASKING) for word in sentence)
    media = sum(word in _MEDIA for word in sentence)
    return asking > 0 and media > 0 and asking + media >= _SHOP_SHARE * len(sentence)
