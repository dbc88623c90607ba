package backup

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// home is what the backups of these tests are of.
func home() map[string][]byte {
	big := make([]byte, 200_000)
	rand.Read(big)
	return map[string][]byte{"FORMAT": []byte("bellwether state 1\n"), "ledger/blocks.log": big, "alerts.log": {}, "models/a.model": []byte("model")}
}

// made makes a backup of files and 5 shares, 3 of which open it.
func made(tb testing.TB, files map[string][]byte) ([]byte, []Share, Key) {
	tb.Helper()
	key := NewKey()
	var out bytes.Buffer
	w, err := NewWriter(&out, key, Info{Zone: "8c41f00d", Name: "home", Made: 7, Store: true})
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.Add(name, int64(len(files[name])), bytes.NewReader(files[name])); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	shares, err := Split(key, [32]byte{0x8c}, w.ID(), 3, 5)
	if err != nil {
		tb.Fatal(err)
	}
	return out.Bytes(), shares, key
}

// read reads all of a backup.
func read(raw []byte, shares []Share) (map[string][]byte, Info, error) {
	r, err := NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, Info{}, err
	}
	info, err := r.Open(shares)
	if err != nil {
		return nil, info, err
	}
	files, err := readFiles(r)
	return files, info, err
}

func readFiles(r *Reader) (map[string][]byte, error) {
	files := map[string][]byte{}
	for {
		name, size, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return files, err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return files, err
		}
		if int64(len(b)) != size {
			return files, fmt.Errorf("%s has %d bytes, not %d", name, len(b), size)
		}
		files[name] = b
	}
}

func TestBackup(t *testing.T) {
	want := home()
	raw, shares, _ := made(t, want)
	for _, some := range [][]Share{shares[:3], shares[2:], shares, {shares[4], shares[0], shares[2]}} {
		got, info, err := read(raw, some)
		if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%d files, %v", len(got), err)
		}
		if info != (Info{Format: 1, Zone: "8c41f00d", Name: "home", Made: 7, Store: true}) {
			t.Errorf("it is of %+v", info)
		}
	}
	if bytes.Contains(raw, []byte("bellwether")) || bytes.Contains(raw, []byte("FORMAT")) {
		t.Error("it is not encrypted")
	}
}

func TestEveryBackupHasAnotherID(t *testing.T) {
	seen := map[ID]bool{}
	for range 20 {
		_, shares, _ := made(t, nil)
		seen[shares[0].Backup] = true
	}
	if len(seen) != 20 {
		t.Errorf("20 backups have %d IDs", len(seen))
	}
}

// TestAgeOpensIt: the file is what the format's own tool reads, with the key in
// hexadecimal as the passphrase.
func TestAgeOpensIt(t *testing.T) {
	raw, _, key := made(t, home())
	id, err := age.NewScryptIdentity(fmt.Sprintf("%x", key))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := age.Decrypt(bytes.NewReader(raw), id)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := exec.LookPath("tar"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no tar")
		}
		t.Skip("there is no tar")
	}
	cmd := exec.Command("tar", "-x", "-C", dir)
	cmd.Stdin = plain
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "models/a.model")); err != nil || string(b) != "model" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSharesRefused(t *testing.T) {
	raw, shares, _ := made(t, home())
	_, others, _ := made(t, home())
	false1 := shares[1]
	false1.Value[0] ^= 1
	mixed := shares[1]
	mixed.Threshold = 2
	for name, x := range map[string]struct {
		shares []Share
		want   string
	}{
		"none":                {nil, "no share"},
		"one":                 {shares[:1], "1 of the shares of backup"},
		"two of three":        {shares[:2], "3 are needed: 1 more"},
		"twice the same":      {[]Share{shares[0], shares[1], shares[0]}, "share 1 is given twice"},
		"of another backup":   {[]Share{shares[0], others[1], shares[2]}, "share 2 of 5 (3 open backup " + others[0].Backup.String()},
		"all of another":      {others, "is of another backup"},
		"another threshold":   {[]Share{shares[0], mixed, shares[2]}, "do not belong together"},
		"a false one":         {[]Share{shares[0], false1, shares[2]}, "at least one of them is false"},
		"two false, one more": {[]Share{shares[0], false1, {Zone: shares[2].Zone, Backup: shares[2].Backup, Index: 3, Threshold: 3, Of: 5}, shares[3]}, "too many of them are false"},
	} {
		if _, _, err := read(raw, x.shares); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	if _, _, err := read(raw, []Share{shares[0], false1, shares[2], shares[3]}); err != nil {
		t.Errorf("three right ones and a false one: %v", err)
	}
}

// TestDamage: a backup that was changed in any byte, cut anywhere or made longer
// is refused.
func TestDamage(t *testing.T) {
	raw, shares, _ := made(t, home())
	refused := func(what string, bad []byte) {
		t.Helper()
		if _, _, err := read(bad, shares); err == nil {
			t.Errorf("%s: it was read", what)
		}
	}
	step := 97
	for at := 0; at < len(raw); at += step {
		bad := bytes.Clone(raw)
		bad[at] ^= 0x10
		refused(fmt.Sprint("byte ", at, " changed"), bad)
		refused(fmt.Sprint("cut at ", at), raw[:at])
		if at < 300 {
			step = 1
		} else {
			step = 977
		}
	}
	for _, n := range []int{1, 16, 17, 512, 1024, 65552} {
		refused(fmt.Sprint("the last ", n, " missing"), raw[:len(raw)-n])
	}
	refused("a byte more", append(bytes.Clone(raw), 0))
	refused("twice", append(bytes.Clone(raw), raw...))
}

// archive makes a tar file that no Writer makes.
func archive(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// opened reads an archive as if it had been decrypted.
func opened(plain []byte) *Reader {
	r := &Reader{plain: bytes.NewReader(plain), names: map[string]bool{}}
	r.tar = tar.NewReader(r.plain)
	return r
}

func TestHostileArchives(t *testing.T) {
	file := func(name string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 3, Mode: 0o600, Format: tar.FormatUSTAR}
	}
	link, pax, dir := file("a"), file("a"), file("a/")
	link.Typeflag, link.Linkname, link.Size = tar.TypeSymlink, "/etc/passwd", 0
	dir.Typeflag, dir.Size = tar.TypeDir, 0
	pax.Format, pax.ModTime = tar.FormatPAX, time.Unix(1, 5)
	for name, plain := range map[string][]byte{
		"upwards":      archive(t, file("../a")),
		"upwards deep": archive(t, file("a/../../b")),
		"absolute":     archive(t, file("/etc/passwd")),
		"not clean":    archive(t, file("a//b")),
		"a dot":        archive(t, file("./a")),
		"backslash":    archive(t, file(`a\b`)),
		"twice":        archive(t, file("a"), file("a")),
		"a link":       archive(t, link),
		"a directory":  archive(t, dir),
		"PAX":          archive(t, pax),
		"more behind":  append(archive(t, file("a")), "more"...),
		"no archive":   bytes.Repeat([]byte("x"), 2000),
		"cut":          archive(t, file("a"))[:514],
	} {
		if files, err := readFiles(opened(plain)); err == nil {
			t.Errorf("%s: read %d files", name, len(files))
		}
	}
	if _, err := readFiles(opened(archive(t, file("a"), file("b/c")))); err != nil {
		t.Errorf("a right one: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := NewWriter(io.Discard, NewKey(), Info{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "..", "../a", "/a", infoFile, "a/"} {
		if err := w.Add(name, 0, strings.NewReader("")); err == nil {
			t.Errorf("%q was added", name)
		}
	}
	if err := w.Add("short", 5, strings.NewReader("abc")); err == nil || !strings.Contains(err.Error(), "after 3 of 5 bytes") {
		t.Errorf("a file that became shorter: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	raw, shares, _ := made(f, map[string][]byte{"FORMAT": []byte("x")})
	f.Add(raw)
	f.Add(raw[:150])
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 1\nAAAA\n--- AAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files, _, err := read(b, shares)
		if err == nil && !bytes.Equal(b, raw) {
			t.Fatalf("another backup was read: %d files", len(files))
		}
	})
}

func FuzzArchive(f *testing.F) {
	file := tar.Header{Typeflag: tar.TypeReg, Name: "ledger/blocks.log", Size: 9, Format: tar.FormatUSTAR}
	pax := tar.Header{Typeflag: tar.TypeReg, Name: "päx", Size: 1, Format: tar.FormatPAX}
	gnu := tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("g", 120), Size: 1, Format: tar.FormatGNU}
	for _, b := range [][]byte{archive(f), archive(f, file), archive(f, file, file), archive(f, pax), archive(f, gnu)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := readFiles(opened(b))
		if err != nil {
			return
		}
		total := 0
		for name, content := range files {
			total += len(content)
			if !filepath.IsLocal(name) {
				t.Errorf("%q leads out of the directory", name)
			}
		}
		if total > len(b) {
			t.Errorf("%d bytes out of %d", total, len(b))
		}
	})
}

func FuzzInfo(f *testing.F) {
	f.Add([]byte(`{"format":1,"zone":"00","name":"home","made":7,"store":false}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":1,"more":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: infoFile, Size: int64(len(b)), Format: tar.FormatUSTAR}) != nil {
			return
		}
		w.Write(b)
		w.Close()
		r := opened(out.Bytes())
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if info, err := r.info(); err == nil && info.Format != infoFormat {
			t.Errorf("read as %+v", info)
		}
	})
}
