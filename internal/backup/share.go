package backup

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// Share is one holder's part of a backup's key.
type Share struct {
	Zone      [4]byte // the first bytes of the zone's group ID
	Backup    ID
	Index     uint8 // 1 to Of
	Threshold uint8 // how many shares give the key
	Of        uint8 // how many there are
	Value     Key   // the polynomials' values at Index
}

// The form of a share's text: a title, comments, and numbered lines of 16
// characters, each of which stands for 8 bytes and a check of 2.
const (
	title        = "bellwether share "
	version      = 1
	lineBytes    = 8
	checkBytes   = 2
	lineChars    = (lineBytes + checkBytes) * 8 / 5
	bodyBytes    = 48
	lines        = bodyBytes/lineBytes + 1 // the last is a digest of the others
	maxShareText = 4 << 10
)

// alphabet is Crockford's base 32, without I, L, O and U.
var alphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// String says which share it is, for people.
func (s Share) String() string {
	return fmt.Sprintf("share %d of %d (%d open backup %s of zone %x)", s.Index, s.Of, s.Threshold, s.Backup, s.Zone)
}

// Bytes gives the share's 56 bytes, the digest of the others last. See
// docs/format/backup.md.
func (s Share) Bytes() []byte {
	b := append([]byte{version}, s.Zone[:]...)
	b = append(b, s.Backup[:]...)
	b = append(b, s.Threshold, s.Of, s.Index)
	b = append(b, s.Value[:]...)
	digest := bodyDigest(b)
	return append(b, digest[:]...)
}

// Encode gives the share as text, to print or to send.
func (s Share) Encode() string {
	var t strings.Builder
	fmt.Fprintf(&t, "%s%d\n# Share %d of %d of backup %s of zone %x.\n", title, version, s.Index, s.Of, s.Backup, s.Zone)
	fmt.Fprintf(&t, "# Any %d of the %d give the backup's key, and with the backup the zone: keep it secret.\n", s.Threshold, s.Of)
	all := s.Bytes()
	for n := 1; n <= lines; n++ {
		data := all[(n-1)*lineBytes : n*lineBytes]
		check := lineCheck(n, data)
		text := alphabet.EncodeToString(append(data[:lineBytes:lineBytes], check[:]...))
		fmt.Fprintf(&t, "%d %s-%s-%s-%s\n", n, text[:4], text[4:8], text[8:12], text[12:])
	}
	return t.String()
}

// lineCheck finds a mistyped line. It holds the line's number, so that lines in
// another order are found too.
func lineCheck(n int, data []byte) [checkBytes]byte {
	sum := sha256.Sum256(append(append([]byte("bellwether/share-line/1\x00"), byte(n)), data...))
	return [checkBytes]byte(sum[:])
}

// bodyDigest finds lines that are each right and of different shares.
func bodyDigest(body []byte) [lineBytes]byte {
	sum := sha256.Sum256(append([]byte("bellwether/share/1\x00"), body...))
	return [lineBytes]byte(sum[:])
}

// ParseShare reads the text of a share as Encode gives it or as a person types
// it: small letters, hyphens and spaces anywhere, O for 0, I and L for 1; the
// title and the comments may be missing.
func ParseShare(text string) (Share, error) {
	if len(text) > maxShareText {
		return Share{}, fmt.Errorf("not a share: %d bytes are more than one has", len(text))
	}
	found, err := readLines(text)
	if err != nil {
		return Share{}, err
	}
	var all []byte
	var wrong []string
	for n := 1; n <= lines; n++ {
		switch data, ok := readLine(n, found[n]); {
		case found[n] == "":
			wrong = append(wrong, fmt.Sprintf("line %d is missing", n))
		case !ok:
			wrong = append(wrong, fmt.Sprintf("line %d does not match its check", n))
		default:
			all = append(all, data...)
		}
	}
	if len(wrong) == lines {
		return Share{}, errors.New("not a share: none of its lines is there as it was written")
	}
	if len(wrong) > 0 {
		return Share{}, fmt.Errorf("%s: compare with the share as it was handed out", strings.Join(wrong, ", "))
	}
	if bodyDigest(all[:bodyBytes]) != [lineBytes]byte(all[bodyBytes:]) {
		return Share{}, errors.New("its lines are of different shares: each is right, together they are not")
	}
	return shareOf(all[:bodyBytes])
}

// SplitShares gives the texts of the shares that stand one after the other, each under
// its title, as a member prints those that it keeps.
func SplitShares(text string) []string {
	var texts []string
	begun := false // the last one has a title
	for line := range strings.Lines(text) {
		titled := strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), title)
		if len(texts) == 0 || titled && begun {
			texts = append(texts, "")
		}
		begun = begun || titled
		texts[len(texts)-1] += line
	}
	return texts
}

// readLines gives the text behind each line's number.
func readLines(text string) (map[int]string, error) {
	found := map[int]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(strings.ToLower(line), title); ok && v != fmt.Sprint(version) {
			return nil, fmt.Errorf("it is a share of form %.20q, this program reads %d: use the version of the program that made it", v, version)
		} else if ok || line == "" || line[0] == '#' {
			continue
		}
		n := int(line[0] - '0')
		switch {
		case n < 1 || n > lines:
			return nil, fmt.Errorf("%.40q is no line of a share: each begins with its number, 1 to %d", line, lines)
		case found[n] != "":
			return nil, fmt.Errorf("line %d is there twice", n)
		case strings.TrimSpace(line[1:]) == "":
			continue
		}
		found[n] = line[1:]
	}
	return found, nil
}

// readLine gives the 8 bytes of line n.
func readLine(n int, text string) ([]byte, bool) {
	text = strings.NewReplacer(" ", "", "\t", "", "-", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
	if len(text) != lineChars {
		return nil, false
	}
	raw, err := alphabet.DecodeString(text)
	if err != nil || len(raw) != lineBytes+checkBytes {
		return nil, false
	}
	data := raw[:lineBytes]
	return data, lineCheck(n, data) == [checkBytes]byte(raw[lineBytes:])
}

func shareOf(b []byte) (Share, error) {
	if b[0] != version {
		return Share{}, fmt.Errorf("it is a share of form %d, this program reads %d: use the version of the program that made it", b[0], version)
	}
	s := Share{Zone: [4]byte(b[1:5]), Backup: ID(b[5:13]), Threshold: b[13], Of: b[14], Index: b[15], Value: Key(b[16:])}
	if s.Index < 1 || s.Index > s.Of || s.Threshold < 1 || s.Threshold > s.Of {
		return Share{}, fmt.Errorf("share %d of %d with a threshold of %d cannot be", s.Index, s.Of, s.Threshold)
	}
	return s, nil
}
