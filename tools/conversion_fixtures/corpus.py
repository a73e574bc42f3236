"""Lines of text for the comparison of tokenizers: scripts, digits, code, white space, emoji, special tokens.

Everything is written here or generated from a seed, so that the corpus is under the project's licence alone.
"""

import random

SENTENCES = """
The quick brown fox jumps over the lazy dog, and nobody's surprised that it's done so 1,234 times.
We've measured 3.14159 kilometres; they'll say I'M wrong, YOU'RE right, and HE'D agree.
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.
Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; añoraba a su querido cachorro.
Pchnąć w tę łódź jeża lub ośm skrzyń fig.
Příliš žluťoučký kůň úpěl ďábelské ódy.
Flygande bäckasiner söka hwila på mjuka tuvor.
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul'da ıssız.
Съешь же ещё этих мягких французских булок, да выпей чаю.
Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п'яне знаємо.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.
דג סקרן שט בים מאוכזב ולפתע מצא חברה
נִקּוּד עִבְרִי עִם סִימָנִים
صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر
همهٔ افراد بشر آزاد به دنیا می‌آیند ۱۲۳۴
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश १२३४५
আমি কাঁচ খেতে পারি, তাতে আমার কোনো ক্ষতি হয় না।
நான் கண்ணாடி சாப்பிடுவேன், அதனால் எனக்கு ஒரு கேடும் வராது.
నేను గాజు తినగలను మరియు అలా చేసినా నాకు ఏమి ఇబ్బంది లేదు
ನನಗೆ ಹಾನಿ ಆಗದೆ, ನಾನು ಗಜನ್ನು ತಿನಬಹುದು
എനിക്ക് ഗ്ലാസ് തിന്നാം. അതെന്നെ വേദനിപ്പിക്കില്ല.
මට වීදුරු කෑමට හැකියි. එයින් මට කිසි හානියක් සිදු නොවේ.
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน
ຂອ້ຍກິນແກ້ວໄດ້ໂດຍທີ່ມັນບໍ່ໄດ້ເຮັດໃຫ້ຂອ້ຍເຈັບ
ကျွန်တော် မှန်စားနိုင်တယ်။ ထိခိုက်မှု မရှိပါ။
ខ្ញុំអាចញុំកញ្ចក់បាន ដោយគ្មានបញ្ហា កាន់តែពិសេសអាច
მინას ვჭამ და არა მტკივა.
Կրնամ ապակի ուտել և ինծի անհանգիստ չըներ։
ሰማይ አይታረስ ንጉሥ አይከሰስ።
いろはにほへと ちりぬるを 色は匂へど 散りぬるを
イロハニホヘト チリヌルヲ ワカヨタレソ ツネナラム
私はガラスを食べられます。それは私を傷つけません。１２３４５
我能吞下玻璃而不伤身体。天地玄黃，宇宙洪荒。
我想在apple工作1314151天～，价格是¥3,500.00元。
나는 유리를 먹을 수 있어요. 그래도 아프지 않아요
키스의 고유조건은 입술끼리 만나야 하고
Con sói nâu nhảy qua con chó lười; Tiếng Việt có nhiều dấu.
ᚠᛇᚻ᛫ᛒᛦᚦ᛫ᚠᚱᚩᚠᚢᚱ᛫ᚠᛁᚱᚪ᛫ᚷᛖᚻᚹᛦᛚᚳᚢᛗ
ᐃᓄᒃᑎᑐᑦ ᑎᑎᕋᐅᓯᖅ
ꓕHE ꓤEVERSE ⱯND ǝʇɐʇoɹ
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝕄𝕒𝕥𝕙 𝒜ℒ𝒫ℋ𝒜 𝟘𝟙𝟚𝟛 ℵ∀∃∅∈∑∏√∞∫≈≠≤≥
""".strip().splitlines()

CODE = """
def fibonacci(n: int) -> int:\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
for (int i = 0; i < 10; ++i) { printf("%d\\n", a[i]); }
\tif err != nil {\n\t\treturn fmt.Errorf("open %q: %w", path, err)\n\t}
const f = async (x) => { await g(`${x?.y ?? 0}`); };
SELECT id, count(*) FROM t WHERE name LIKE '%a_b%' GROUP BY 1 HAVING count(*) >= 10;
<div class="a b" data-x='1'>&nbsp;</div><!-- comment -->
{"key": [1, 2.5e-10, true, null], "nested": {"a": "\\u00e9"}}
#include <stdio.h>\r\nint main(void)\r\n{\r\n        return 0;\r\n}\r\n
$ git log --oneline -n 5 | awk '{print $1}' && echo "$HOME/.x" 2>&1
https://example.com:8080/a/b.html?q=1&r=%20#frag user.name+tag@example.co.uk
~/.config/app.d/10-x.conf C:\\Program Files\\x\\y.exe ../../z
0x1F 0b1010 1_000_000 1e-9 3.14f 12345678901234567890 007 ½ ² ⅷ ٣٤٥
a+=b;c-=d;e*=f;g/=h;i%=j;k&&l||m;n!==o;p===q;r<<=s;t>>>u;v**w;x//y;@z
\"\"\"docstring\"\"\" '''x''' ```code``` -- ==== **** ---- ____ ???? !!!! .... ,,,,
""".strip().splitlines()

WHITE_SPACE = [
    "",
    " ",
    "  ",
    "   ",
    "    ",
    "\t",
    "\t\t",
    "\n",
    "\n\n",
    "\n\n\n",
    "\r\n",
    "\r\n\r\n",
    " \n",
    "\n ",
    " \t \n",
    "\u00a0",
    "\u3000",
    "\u2003",
    "\u200b",
    "\u2028",
    "\u0085",
    "\v",
    "\f",
    "\ufeff",
]

EMOJI = ["😀", "🚀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "😶‍🌫️", "🇩🇪🇯🇵", "❤️", "✅", "🦙🦙🦙", "1️⃣", "☃", "🤷🏿‍♀️", "🫠"]

ODD = [
    "e\u0301",
    "\u00e9",
    "a\u030a\u0323",
    "\u1e9b\u0323",
    "ﬁ ﬂ",
    "Ⅷ",
    "ｆｕｌｌ　ｗｉｄｔｈ",
    "\u0301x",
    "가",
    "\u1100\u1161",
    "Å",
    "\U0001d7d8",
    "\U00020000\U00020001",
    "\ue000",
    "\U0010ffff",
    "ſtrange",
    "K elvin",
    "ß ẞ İ ı",
    "ǅ ǈ",
    "\u0000",
    "\u001f",
    "'S 'T 'RE 'VE 'M 'LL 'D",
    "'s't're",
    "don't",
    "DON'T",
    "’s ’t",
    "''''''",
    "``````",
    '""""',
    "......",
    "x²",
    "№5",
]
"""Composed and decomposed forms, compatibility forms, marks without a base, other planes, private use, quotes."""

_RANGES = [
    (0x20, 0x7E),
    (0xA1, 0x17F),
    (0x370, 0x3FF),
    (0x400, 0x4FF),
    (0x5D0, 0x5EA),
    (0x620, 0x64A),
    (0x905, 0x939),
    (0xE01, 0xE3A),
    (0x3041, 0x3096),
    (0x4E00, 0x4FFF),
    (0xAC00, 0xACFF),
    (0x1F600, 0x1F64F),
    (0x2000, 0x206F),
    (0x2190, 0x21FF),
    (0x300, 0x36F),
    (0x660, 0x669),
    (0x2150, 0x218B),
]
"""First and last code points of the ranges that random characters come from."""


def _unescaped(line: str) -> str:
    return line.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")


def _numbers(source: random.Random) -> str:
    return source.choice([" ", "", ", ", ".", "-"]).join(
        str(source.randrange(10 ** source.randint(1, 12))) for _ in range(source.randint(1, 6))
    )


def _characters(source: random.Random) -> str:
    length = source.randint(1, 24)
    low, high = source.choice(_RANGES)
    return "".join(chr(source.randint(low, high)) for _ in range(length))


def _mixture(source: random.Random, parts: list[str]) -> str:
    pieces = [source.choice(parts) for _ in range(source.randint(1, 4))]
    return "".join(piece + source.choice(WHITE_SPACE[:16]) for piece in pieces)


def _words(source: random.Random, sentences: int = len(SENTENCES)) -> str:
    words = [word for sentence in SENTENCES[:sentences] for word in sentence.split()]
    return source.choice([" ", "  ", "\n", "\t"]).join(source.choice(words) for _ in range(source.randint(1, 8)))


def training_lines(sentences: int = len(SENTENCES)) -> list[str]:
    """Returns text to train tokenizers on, from the first `sentences` of SENTENCES.

    The fewer there are, the fewer characters take room in a small vocabulary, and the more merges it has.
    """
    source = random.Random(11)
    return [*SENTENCES[:sentences], *(_unescaped(line) for line in CODE)] * 8 + [
        _words(source, sentences) for _ in range(400)
    ]


def plain_lines() -> list[str]:
    """Returns 2,200 lines without special tokens."""
    source = random.Random(7)
    code = [_unescaped(line) for line in CODE]
    fixed = [
        *SENTENCES,
        *code,
        *WHITE_SPACE,
        *EMOJI,
        *ODD,
        *(a + b for a in WHITE_SPACE[:16] for b in WHITE_SPACE[:16]),
    ]
    makers = [
        lambda: _words(source),
        lambda: _numbers(source),
        lambda: _characters(source),
        lambda: _mixture(source, EMOJI + ODD),
        lambda: _mixture(source, code),
        lambda: _mixture(source, SENTENCES[:4] + EMOJI),
    ]
    while len(fixed) < 2200:
        fixed.append(makers[len(fixed) % len(makers)]())
    return fixed


def special_lines(tokens: list[str]) -> list[str]:
    """Returns 300 lines with a tokenizer's added tokens among text."""
    source = random.Random(13)
    texts = [
        "",
        " ",
        "\u3000",
        " \t\n",
        "hello",
        " world",
        "don't\n",
        "  x  ",
        "日本語",
        "123",
        "🚀",
        "\n\n",
        "a<",
        ">b",
        "<|",
        "é",
    ]
    return [
        "".join(source.choice(texts) + source.choice(tokens) for _ in range(source.randint(1, 4)))
        + source.choice(texts)
        for _ in range(300)
    ]
