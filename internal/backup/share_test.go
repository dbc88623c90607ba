package backup

import (
	"strings"
	"testing"
)

func sample() Share {
	s := Share{Zone: [4]byte{0x8c, 0x41, 0xf0, 0x0d}, Backup: ID{1, 2, 3, 4, 5, 6, 7, 8}, Index: 2, Threshold: 3, Of: 5}
	for i := range s.Value {
		s.Value[i] = byte(i * 7)
	}
	return s
}

func mustParse(t *testing.T, text string, want Share) {
	t.Helper()
	if got, err := ParseShare(text); err != nil || got != want {
		t.Errorf("%q\nis %v, %v", text, got, err)
	}
}

func TestShareAsTyped(t *testing.T) {
	s := sample()
	text := s.Encode()
	if strings.Count(text, "\n") != 3+lines {
		t.Errorf("it has another form:\n%s", text)
	}
	mustParse(t, text, s)
	mustParse(t, strings.ToLower(text), s)
	mustParse(t, strings.ReplaceAll(text, "\n", "\r\n"), s)
	mustParse(t, strings.ReplaceAll(text, "-", " "), s)
	rows := strings.Split(strings.TrimSpace(text), "\n")[3:]
	mustParse(t, strings.Join(rows, "\n"), s)
	for i, j := 0, len(rows)-1; i < j; i, j = i+1, j-1 {
		rows[i], rows[j] = rows[j], rows[i]
	}
	mustParse(t, strings.Join(rows, "\n"), s)
	for i, r := range rows { // number first; a 1 or 0 in the rest read as a letter
		rows[i] = r[:2] + strings.NewReplacer("0", "o", "1", "l").Replace(strings.ReplaceAll(r[2:], "-", ""))
	}
	mustParse(t, strings.Join(rows, "\n\n"), s)
}

// TestShareTypos: every single wrong character is found, and its line named.
func TestShareTypos(t *testing.T) {
	s := sample()
	rows := strings.Split(strings.TrimSpace(s.Encode()), "\n")[3:]
	for i, row := range rows {
		for at := 2; at < len(row); at++ {
			if row[at] == '-' {
				continue
			}
			bad := append([]string{}, rows...)
			with := byte('7')
			if row[at] == with {
				with = '8'
			}
			bad[i] = row[:at] + string(with) + row[at+1:]
			_, err := ParseShare(strings.Join(bad, "\n"))
			if err == nil || !strings.HasPrefix(err.Error(), "line "+string(rune('1'+i))+" does not match") {
				t.Errorf("line %d, character %d: %v", i+1, at, err)
			}
		}
	}
}

func TestShareRefused(t *testing.T) {
	s := sample()
	text := s.Encode()
	rows := strings.SplitAfter(text, "\n")
	other := s
	other.Value[31] ^= 1
	another := strings.SplitAfter(other.Encode(), "\n")
	change := func(f func(s *Share)) string {
		bad := s
		f(&bad)
		return bad.Encode()
	}
	for name, x := range map[string]struct{ text, want string }{
		"empty":                 {"", "not a share"},
		"only comments":         {"# a share\n", "not a share"},
		"something else":        {"dear mother", "is no line of a share"},
		"too long":              {strings.Repeat("1", maxShareText+1), "not a share"},
		"a line missing":        {strings.Join(append(rows[:5:5], rows[6:]...), ""), "line 3 is missing"},
		"a line twice":          {text + rows[4], "line 2 is there twice"},
		"a line without text":   {strings.Join(rows[:9], "") + "7\n", "line 7 is missing"},
		"two lines changed":     {strings.NewReplacer(rows[3], "1"+rows[4][1:], rows[4], "2"+rows[3][1:]).Replace(text), "line 1 does not match its check, line 2 does not match"},
		"a line of another":     {strings.Join(append(append(rows[:8:8], another[8]), rows[9:]...), ""), "of different shares"},
		"cut in a line":         {text[:len(text)-6], "line 7 does not match its check"},
		"a later form":          {strings.Replace(text, "share 1", "share 2", 1), "use the version"},
		"index 0":               {change(func(s *Share) { s.Index = 0 }), "cannot be"},
		"index over the number": {change(func(s *Share) { s.Index = 6 }), "cannot be"},
		"threshold over":        {change(func(s *Share) { s.Threshold = 6 }), "cannot be"},
		"threshold 0":           {change(func(s *Share) { s.Threshold = 0 }), "cannot be"},
	} {
		if got, err := ParseShare(x.text); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, %v; want %q", name, got, err, x.want)
		}
	}
}

func FuzzParseShare(f *testing.F) {
	text := sample().Encode()
	f.Add(text)
	f.Add(strings.ToLower(text))
	f.Add(strings.ReplaceAll(text[strings.Index(text, "\n1 ")+1:], "-", ""))
	f.Add(strings.Replace(text, "share 1", "share 9", 1))
	f.Add("1 05NX-M89Q\n9 x\n\n#")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseShare(text)
		if err != nil {
			return
		}
		if again, err := ParseShare(s.Encode()); err != nil || again != s {
			t.Fatalf("%v is written and read as %v, %v", s, again, err)
		}
	})
}

func TestSplitShares(t *testing.T) {
	s, other := sample(), sample()
	other.Backup[0]++
	one, two := s.Encode(), other.Encode()
	for text, want := range map[string][]Share{
		one: {s}, one + "\n" + two: {s, other}, "# a note\n" + one + two: {s, other}, strings.ToUpper(two + one): {other, s},
		strings.SplitN(one, "\n", 2)[1]: {s}, // without its title
	} {
		texts := SplitShares(text)
		if len(texts) != len(want) {
			t.Fatalf("%q\nhas %d shares, want %d", text, len(texts), len(want))
		}
		for i := range texts {
			mustParse(t, texts[i], want[i])
		}
	}
	if got := SplitShares(""); len(got) != 0 {
		t.Errorf("nothing has %d shares", len(got))
	}
}
