"""The words that the tagger of ``tagger`` knows: written by hand for questions and phrases about pictures.

What is in none of the lists is a noun.
"""

import re

NOUN, ADJECTIVE, VERB, OTHER = "noun", "adjective", "verb", "other"
NOUN_OR_VERB = "noun or verb"  # mostly a noun: a sign, to sign
VERB_OR_NOUN = "verb or noun"  # mostly a verb: to look, a look
ADJECTIVE_OR_NOUN = "adjective or noun"  # the female player, the female
PLACE = "place"  # the left player, on the left
PARTICIPLE = "participle"  # a parked car, is parked
GERUND = "gerund"  # a cutting board, is cutting
BEFORE_NOUN = "adjective before a noun"  # the far player, is far away
CAN, LIGHT, NEXT = "can", "light", "next"  # with rules of their own
NAMING = frozenset({NOUN, ADJECTIVE, ADJECTIVE_OR_NOUN, PLACE, NOUN_OR_VERB, VERB_OR_NOUN})
ACTING = frozenset({VERB, NOUN_OR_VERB, VERB_OR_NOUN})

ARTICLES = frozenset("a an the".split())
POINTERS = frozenset("this that these those everything everyone anything".split())
BE = frozenset("is are was were be been being am isn't aren't wasn't weren't".split())
HELPERS = frozenset("""do does did can could will would should may might must cannot don't doesn't didn't can't couldn't
won't wouldn't shouldn't""".split())  # fmt: skip
SUBJECTS = frozenset("i you he she it we they who".split())
CANS = frozenset("trash garbage soda beer tin spray recycling watering waste aluminum coke paint rubbish".split())
LIGHT_THINGS = frozenset("hair fur skin wood shirt jacket jeans pants clothes clothing color background".split())

_CLOSED = """
a an the this that these those each every either neither both all any some no none half non
i me my mine you your yours he him his she her hers it its we us our ours they them their theirs
who whom whose what which where when why how whatever whichever wherever whether
someone somebody something anyone anybody anything everyone everybody everything nobody nothing here there
in on at of to from with without by for about above across after against along among around as before behind below
beneath beside besides between beyond down during except inside into near off onto out outside over past per prior since
than through throughout till toward towards under underneath until up upon upside via within atop alongside amid ontop
infront w and or but nor so yet if because while although though unless like not
be am is are was were been being have has had having do does did doing done will would shall should may might must could
cannot let isn't aren't wasn't weren't don't doesn't didn't can't couldn't won't wouldn't shouldn't hasn't haven't
one two three four five six seven eight nine ten eleven twelve hundred zero ones oneself himself herself itself
themselves yourself
also again ago almost already always away currently ever even else enough just maybe much never now often only perhaps
please probably still quite rather really soon then today together too twice once usually very well yes okay
outdoors indoors upstairs downstairs downhill uphill forward backwards forwards backward upward downward ahead apart
sideways nearby instead however therefore everywhere somewhere anywhere tonight tomorrow yesterday s t re ve ll d m
many most more few fewer less least several other others another same such own various
"""

ADJECTIVES = frozenset("""
red blue green yellow white black brown gray grey purple pink tan beige maroon turquoise violet teal navy silver gold
golden blond blonde brunette colorful colourful multicolored dark pale bright vivid
big large small little tiny huge giant enormous massive tall short long wide narrow thin thick fat skinny slim slender
high low deep shallow heavy lightweight miniature medium mini extra
old new young modern ancient antique vintage elderly teenage contemporary mature senior aged
round oval circular rectangular triangular curved curly wavy flat steep sharp pointy smooth rough bumpy
empty full open closed clear clean dirty messy tidy neat wet dry muddy dusty rusty shiny shinny dull fuzzy furry fluffy
puffy shaggy sticky hairy bald fresh rotten ripe raw burnt hot cold warm cool icy snowy sunny cloudy rainy windy foggy
overcast stormy hazy shady
wooden metallic woolen plush concrete electric electrical automatic mechanical homemade handmade solid compact
happy sad angry mad tired sleepy asleep awake alert calm scared afraid excited bored serious nervous relaxed playful
friendly lonely lone alone hungry thirsty curious busy lazy alive dead sick healthy unhealthy injured pregnant drunk
nice good great bad fine beautiful pretty ugly cute lovely handsome attractive fancy plain casual formal stylish
strange weird odd unusual typical normal usual common rare special unique similar different identical favorite dominant
public private personal commercial residential industrial urban rural local foreign domestic military multistory
religious political medical musical cultural traditional tropical exotic facial electronic romantic
american asian african european caucasian chinese japanese indian italian mexican english british german french irish
single double multiple whole entire main primary central upper lower inner outer opposite adjacent visible invisible
available possible impossible likely unlikely able unable sure certain real fake artificial natural
true false correct safe unsafe dangerous legal illegal necessary important famous popular united
quick slow quiet loud noisy silent stationary soft strong weak loose tight fragile stiff rigid firm sturdy
sweet salty sour spicy bitter delicious tasty yummy nutritious edible vegetarian vegan organic savory juicy greasy
rich poor cheap expensive free outdoor indoor grassy leafy rocky sandy wild tame lush mountainous coastal aerial floral
striped spotted plaid checkered dotted patterned polka colored coloured cluttered crowded organized disorganized
decorative ornate bearded shirtless barefoot naked nude topless sleeveless stuffed framed
athletic muscular obese overweight chubby fit active protective reflective
first second third fourth fifth last final vertical horizontal diagonal parallel upright symmetrical
stainless transparent opaque translucent blurry blank married gay deaf blind
comfortable cozy comfy convenient useful useless proper appropriate suitable particular potted paved wrought sheer vast
overhead underground underwater interested complete incomplete ready finished ordinary regular simple complex official
recent current former annual daily fair close bare separate dim adequate crunchy crispy creamy
""".split())  # fmt: skip

_ADJECTIVES_OR_NOUNS = """orange square cream lavender male female human adult individual professional elder present
plastic remote"""
_PLACES = "left right top bottom front back middle center centre side rear"
_BEFORE_NOUNS = "far farther further fast faster fastest hard harder early earlier late later straight"

_NOUNS = """
building ceiling clothing railing awning lighting wing ring king string spring thing earring icing frosting topping
wedding evening morning siding flooring bedding marking lettering landing meeting dressing pudding fencing paneling
molding carving parking outing handwriting clippings leaves father teenager cleaner dryer opener cooler freezer
lighter bed shed seed weed sled speed breed moped reed bobsled living
table cable vegetable bible stable dish fish radish family lily jelly belly bully butterfly italy july
people glass traffic music picnic fabric mosaic attic clinic comic graphic garlic tunic mechanic topic ceramic logic pic
"""

_GERUNDS = """dining swimming baking cutting frying shopping washing sewing playing serving boarding driving racing
riding skiing mixing ironing filing diving batting hiking running sleeping measuring changing waiting sitting surfing
fishing cooking drinking eating wrapping rolling watering recycling writing reading training walking tanning bowling
camping gaming hunting jogging steering painting drawing seating setting sliding crossing"""

_VERBS = """
wear hold sit eat say read write carry bring come go get give take make put see hear think know appear seem happen
become believe belong allow indicate describe determine consider contain consist include involve enjoy prefer want feel
tell ask speak listen learn teach grow bend lean lie lay perch kneel crouch graze chase prepare pour chop
choose decide keep send buy sell pay lose win begin finish continue try agree exist remain wait
attempt follow lead leave arrive enter receive provide create build construct depict represent resemble relate
compare identify explain suggest expect imagine guess prove situate locate relax find shake dig fill
celebrate compete participate perform gather assemble attach affix connect insert remove lift raise drag toss
kiss lick chew swallow sniff breathe squat lounge recline examine inspect observe gaze stare peek peer protect surround
like unlock adjust untie unwrap peel dice stir roast boil bake approach pass overlook hang sew knit sing compose
"""

_VERBS_OR_NOUNS = """
ride walk run play jump stand look rest turn pull push throw catch hit kick climb dance smile laugh cry point reach pose
talk swim skate ski surf sleep move fly drive touch show help fight care cost live work need love match fall jog leap
draw use cook
"""

_NOUNS_OR_VERBS = """
sign light watch park water spray cover phone top board train plant face paint cross answer call feed fish hand head
house fan iron land line mark mind name nail notice number order pack pet post press print rain snow race ring rock roll
score seat shade shape share ship shop shower slide smoke sort stack step store swing taste tie time tip trick trip trim
type value view visit vote wash wave weigh block blow bow brush button camp cap change charge check claim cause comb
crash crowd cut cycle design dock dress drop dust end exercise fence film fix flip float flow focus fold fuel grind
guard guide hook hug hurt label lock mail mean measure mount note photograph pitch pick place plan plug pop pump
question reflect rent sail sauce scratch serve set shadow shine shoot slice smile spill split spot spread squeeze stain
stamp star start state stay steam stick stop strike sweep switch tackle target tow trade transport travel treat trust
wrap yawn drink bite grill study cast fire
"""

_PASTS = """
sat stood held wore ate drank threw caught flew rode ran swam drove took made went gone got gotten came saw said told
gave put cut hit built bought broke bent hung lain lit lost kept led met paid sent shot shut slept stuck swung
taught thought wrote found fed felt fought forgot grew hid knew drew chose blew fell began rang sang spoke swept woke
won sold laid
"""
_PARTICIPLES = """
worn eaten thrown flown ridden driven taken seen given broken frozen hidden torn written grown known drawn chosen blown
fallen begun shown woven shaken stolen spoken bent lit cut sold
"""
_NOT_DOUBLED = ("er", "en", "el", "it", "et", "on")
_DOUBLED = {"sit", "hit", "fit", "split", "set", "get", "bet", "pet"}


def _forms(verb: str) -> tuple[str, str, str]:
    """Return a regular verb's -s, -ing and -ed forms."""
    if verb.endswith("ie"):
        return f"{verb}s", f"{verb[:-2]}ying", f"{verb}d"
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies", f"{verb}ing", f"{verb[:-1]}ied"
    stem = verb.removesuffix("e") if not verb.endswith(("ee", "ye")) else verb
    if re.search(r"[^aeiou][aeiou][bdgklmnprt]$", verb) and (verb in _DOUBLED or not verb.endswith(_NOT_DOUBLED)):
        stem += verb[-1]
    present = f"{verb}es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else f"{verb}s"
    return present, f"{stem}ing", f"{verb}d" if verb.endswith("e") else f"{stem}ed"


def _known() -> dict[str, str]:
    """Return word to what it can be; where two lists have it, the later counts."""
    known: dict[str, str] = {}
    for verbs, kind in ((_NOUNS_OR_VERBS, NOUN_OR_VERB), (_VERBS_OR_NOUNS, VERB_OR_NOUN), (_VERBS, VERB)):
        for verb in verbs.split():
            present, gerund, past = _forms(verb)
            known |= {verb: kind, present: kind, gerund: VERB, past: PARTICIPLE}
    for words, kind in (
        (_PASTS.split(), VERB),
        (_PARTICIPLES.split(), PARTICIPLE),
        (ADJECTIVES, ADJECTIVE),
        (_NOUNS.split(), NOUN),
        ("cut set hurt shot cast spread".split(), NOUN_OR_VERB),
        (_GERUNDS.split(), GERUND),
        (_ADJECTIVES_OR_NOUNS.split(), ADJECTIVE_OR_NOUN),
        (_PLACES.split(), PLACE),
        (_BEFORE_NOUNS.split(), BEFORE_NOUN),
        (_CLOSED.split(), OTHER),
    ):
        known |= dict.fromkeys(words, kind)
    return known | {"can": CAN, "light": LIGHT, "next": NEXT}


KINDS = _known()
"""What each word of the lists, and each form of a verb, can be."""
