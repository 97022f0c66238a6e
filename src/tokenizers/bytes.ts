// Byte-level BPE writes each byte as one printable character: this is GPT-2's table.

/** Character of each byte. */
export const BYTE_TO_CHAR: readonly string[] = byteCharacters()

/** Byte of each character. */
export const CHAR_TO_BYTE: ReadonlyMap<string, number> = new Map(BYTE_TO_CHAR.map((char, byte) => [char, byte]))

/** Bytes that print stand for themselves, the others for the characters from U+0100 on, in order. */
function byteCharacters(): string[] {
  let next = 0x100
  const prints = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(prints(byte) ? byte : next++))
}

const encoder = new TextEncoder()
/** A word of printing ASCII, perhaps after a space: what most words are. */
const plain = /^ ?[!-~]*$/

/** UTF-8 bytes of a text, written in those characters. */
export function byteCharactersOf(text: string): string {
  if (plain.test(text)) return text.replace(' ', BYTE_TO_CHAR[0x20])
  let out = ''
  for (const byte of encoder.encode(text)) out += BYTE_TO_CHAR[byte]
  return out
}
