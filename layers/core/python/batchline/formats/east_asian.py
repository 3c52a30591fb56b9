"""Tells Japanese and Chinese of a few words: the same bytes may be text in EUC-JP, GB 18030 and EUC-KR.

Statistics need some sentences for it. A title or a table of names is told by kana, which Chinese and Korean
hardly have, and by how many of its characters are everyday ones in one language and in the other.
"""

import codecs
import re
from typing import Final

_KANA: Final = re.compile("[\u3041-\u3093\u30a1-\u30f6\u30fc]")
# The characters that newspapers use most, and those of names, addresses and office papers.
_KANJI: Final = frozenset(
    "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金員九入選立開手米力学問高"
    "代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要用制治度務強気小七成期公野協取都和統以機平総加山"
    "思家話世受区領多県続進正安設保改数記院女初北午指権心界支第産結百派点教報済書府活原先共得解名交資予川向際査勝面委告軍文反元重近千考"
    "判認画海参売利組知案道信策集在件団別物側任引使求所次水半品昨論計死官増係感特情投示変打男基私各始島直両朝革価式確村提運終挙果西勢減"
    "台広容必応演電歳住争談能無再位置企真流格有疑口過局少放税検藤町常校料沢裁状工建語球営空職証土与急止送援供可役構木割聞身費付施切由説"
    "転食比難防補車優夫研収断井何南石足違消境神番規術護展態導備宅害配副算視条幹独警宮究育席輸訪楽起万着乗店述残想線率病農州武声質念待試"
    "族象銀域助労例衛然早張映限親額監環験追審商葉義伝働形景落担好退準賞訴辺造英被株頭技低毎医復仕去姿味負渡失移差衆個門写評課末守若極種"
    "美岡影命含福量望松非佐観察整段横型白深字答夜製票況音申様財港識注呼達"
    "丁号谷室館階港区郡浜崎阪幸橋鈴木太郎花清林森池吉伊斎宏健久恵裕昭宇印刷納請積契覧便郵預込単紙録帳簿簡存庫登照届殿御拝啓"
)
_HANZI: Final = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去"
    "法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正"
    "业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东"
    "声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山"
    "金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉"
    "格望觉术领共确传师观清今切院让识候带导争运收元价单号编付款订购销售季整议纪录京城省县街村州李陈刘杨黄赵吴周姓址邮票税额印复印审批"
)
# Fewer everyday characters may be chance.
_FEWEST: Final = 2


def encoding(sample: bytes) -> str:
    """Name the encoding of text that is surely Japanese or simplified Chinese; nothing for any other."""
    hanzi = _letters(sample, "gb18030")
    chinese = sum(map(_HANZI.__contains__, hanzi))
    for name in ("euc_jp", "cp932"):
        letters = _letters(sample, name)
        kana = len(_KANA.findall(letters))
        everyday = kana + sum(map(_KANJI.__contains__, letters))
        if kana and kana * 4 >= len(letters):
            return name
        if everyday * 2 >= len(letters) and everyday >= _FEWEST and everyday > chinese:
            return name
    return "gb18030" if chinese * 2 >= len(hanzi) and chinese >= _FEWEST else ""


def _letters(sample: bytes, encoding: str) -> str:
    """Give the characters of East Asia in a text; none if it is not in the encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return ""
    # A pattern of this range takes 4 ms to compile.
    return "".join(sign for sign in text if "\u3041" <= sign <= "\uffdc")
