// Classes of characters as Python's tokenizers sees them. Its tables of marks, punctuation and format characters are of Unicode 8,
// so what was assigned or changed later is taken out, and what they still have is put in.

/** Combining marks (Mn) that accents are stripped of. */
export const ACCENTS =
  /(?![\u{7fd}\u{897}-\u{8e1}\u{9fe}\u{afa}-\u{aff}\u{b55}\u{c04}-\u{c3c}\u{d00}\u{d3b}-\u{d3c}\u{d81}\u{eba}\u{ece}\u{180f}-\u{1886}\u{1abf}-\u{1aeb}\u{1df6}-\u{1dfb}\u{a82c}\u{a8c5}\u{a8ff}\u{a9bd}\u{10d24}-\u{10f85}\u{11070}-\u{11074}\u{110c2}\u{111c9}\u{111cf}\u{1123e}-\u{11241}\u{1133b}\u{113bb}-\u{1145e}\u{1182f}-\u{11f5a}\u{13440}-\u{13455}\u{1611e}-\u{1612f}\u{16f4f}\u{16fe4}\u{1cf00}-\u{1cf46}\u{1e000}-\u{1e2ef}\u{1e4ec}-\u{1e6f5}\u{1e944}-\u{1e94a}])[\p{Mn}\u1734\u{1171e}]/gu

/** Punctuation, ASCII symbols among it. */
export const PUNCTUATION =
  /(?![\u{61d}\u{9fd}-\u{a76}\u{c77}-\u{c84}\u{1b4e}-\u{1b4f}\u{1b7d}-\u{1b7f}\u{2e43}-\u{2e5d}\u{10d6e}-\u{10f89}\u{113d4}-\u{1145d}\u{11660}-\u{116b9}\u{1183b}-\u{11c71}\u{11ef7}-\u{11fff}\u{12ff1}-\u{12ff2}\u{16d6d}-\u{16fe2}\u{1e5ff}\u{1e95e}-\u{1e95f}])[\p{P}!-/:-@[-`{-~\u166d\u{111c9}]/gu

/** Control, format and private characters except tab, line feed and carriage return; and the replacement character. */
export const CONTROLS = /(?![\t\n\r\u{890}\u{891}\u{8e2}\u{110cd}\u{13430}-\u{1343f}])[\p{Cc}\p{Cf}\p{Co}\ufffd]/gu

/** The blocks of CJK ideographs that BERT sets apart. */
export const IDEOGRAPHS =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu

/** White space by Unicode: unlike JavaScript's \s it has U+0085 and lacks U+FEFF. */
export const SPACE = /\p{White_Space}/gu

/** Control characters that SentencePiece's rules for translation (nmt) drop. */
export const NMT_REMOVED = /[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g

/** What those rules take for a space. */
export const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g
