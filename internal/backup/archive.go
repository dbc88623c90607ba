package backup

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"filippo.io/age"
)

// Info says what a backup is of. It is the archive's first file.
type Info struct {
	Format int    `json:"format"` // 1
	Zone   string `json:"zone"`   // the group ID in hexadecimal
	Name   string `json:"name"`   // of the zone
	Made   int64  `json:"made"`   // ns since 1970
	Store  bool   `json:"store"`  // the snapshots are in it
}

const (
	infoFile   = "backup.json"
	infoFormat = 1
	maxInfo    = 4 << 10
	maxFiles   = 1 << 20
)

// Writer writes a backup.
type Writer struct {
	id     ID
	sealed io.WriteCloser
	tar    *tar.Writer
	names  map[string]bool
}

// NewWriter begins a backup in w, which nobody else writes to.
func NewWriter(w io.Writer, key Key, info Info) (*Writer, error) {
	to, err := key.recipient()
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	var begin bytes.Buffer
	sealed, err := age.Encrypt(io.MultiWriter(w, &limited{buf: &begin}), to)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	header, err := age.ExtractHeader(&begin)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	out := &Writer{id: idOf(header), sealed: sealed, tar: tar.NewWriter(sealed), names: map[string]bool{}}
	info.Format = infoFormat
	text, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return out, out.Add(infoFile, int64(len(text)), bytes.NewReader(text))
}

// limited keeps the beginning of what is written to it, in which age's header is.
type limited struct{ buf *bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	l.buf.Write(b[:min(len(b), max(0, maxHeader-l.buf.Len()))])
	return len(b), nil
}

// ID is the backup's.
func (w *Writer) ID() ID { return w.id }

// Add puts a file of exactly size bytes into the backup.
func (w *Writer) Add(name string, size int64, r io.Reader) error {
	if err := checkName(name, w.names); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("backup: %s of %d bytes: %w", name, size, err)
	}
	if n, err := io.CopyN(w.tar, r, size); err != nil {
		return fmt.Errorf("backup: %s, after %d of %d bytes: %w", name, n, size, err)
	}
	return nil
}

// Close ends the backup. Without it, there is none.
func (w *Writer) Close() error {
	if err := w.tar.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := w.sealed.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// checkName refuses what is no plain name below a directory, and one that was
// there before.
func checkName(name string, seen map[string]bool) error {
	switch {
	case name == "" || name != path.Clean(name) || path.IsAbs(name) || name == "." || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\\\x00"):
		return fmt.Errorf("%.100q is not a name within a directory", name)
	case seen[name]:
		return fmt.Errorf("%s is there twice", name)
	case len(seen) >= maxFiles:
		return fmt.Errorf("more than %d files", maxFiles)
	}
	seen[name] = true
	return nil
}

// Reader reads a backup.
type Reader struct {
	id     ID
	header []byte
	rest   io.Reader // of the file, behind the header
	plain  io.Reader // what is inside, once it is open
	tar    *tar.Reader
	names  map[string]bool
}

// maxHeader is more than the header of any backup of ours has bytes.
const maxHeader = 1 << 10

// NewReader reads the beginning of a backup, for which no key is needed.
func NewReader(r io.Reader) (*Reader, error) {
	begin := make([]byte, maxHeader)
	n, err := io.ReadFull(r, begin)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, fmt.Errorf("reading the backup: %w", err)
	}
	from := bytes.NewReader(begin[:n])
	header, err := age.ExtractHeader(from)
	if err != nil {
		return nil, errors.New("not a backup: it does not begin as an encrypted file (age-encryption.org/v1) does, or its first bytes are damaged")
	}
	rest := io.MultiReader(bytes.NewReader(begin[len(header):n]), r)
	return &Reader{id: idOf(header), header: header, rest: rest, names: map[string]bool{}}, nil
}

// ID is the backup's.
func (r *Reader) ID() ID { return r.id }

// Open decrypts the backup with shares of its key and gives what it is of. When
// one of more than enough shares is false, the others open it all the same.
func (r *Reader) Open(shares []Share) (Info, error) {
	if err := r.check(shares); err != nil {
		return Info{}, err
	}
	fileKey, err := r.unwrap(shares)
	if err != nil {
		return Info{}, err
	}
	r.plain, err = age.Decrypt(io.MultiReader(bytes.NewReader(r.header), r.rest), age.NewInjectedFileKeyIdentity(fileKey))
	if err != nil {
		return Info{}, fmt.Errorf("the backup is damaged: %w", err)
	}
	r.tar = tar.NewReader(r.plain)
	name, size, err := r.Next()
	if err != nil {
		return Info{}, err
	}
	if name != infoFile || size > maxInfo {
		return Info{}, fmt.Errorf("not a backup of a zone: it begins with %.100q of %d bytes", name, size)
	}
	return r.info()
}

func (r *Reader) info() (Info, error) {
	var info Info
	text, err := io.ReadAll(r)
	if err != nil {
		return Info{}, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&info); err != nil {
		return Info{}, fmt.Errorf("%s in the backup: %w", infoFile, err)
	}
	if info.Format != infoFormat {
		return Info{}, fmt.Errorf("the backup is of form %d, this program reads %d: use the version of the program that made it", info.Format, infoFormat)
	}
	return info, nil
}

// check refuses shares that do not belong together, or not to this backup, or
// that are too few.
func (r *Reader) check(shares []Share) error {
	if len(shares) == 0 {
		return errors.New("no share of the backup's key was given")
	}
	first, seen := shares[0], map[uint8]bool{}
	for _, s := range shares {
		switch {
		case s.Backup != r.id:
			return fmt.Errorf("%s is of another backup: this is %s (or its first bytes are damaged)", s, r.id)
		case s.Zone != first.Zone || s.Threshold != first.Threshold || s.Of != first.Of:
			return fmt.Errorf("%s and %s do not belong together", first, s)
		case seen[s.Index]:
			return fmt.Errorf("share %d is given twice", s.Index)
		}
		seen[s.Index] = true
	}
	if n := int(first.Threshold); len(shares) < n {
		return fmt.Errorf("%d of the shares of backup %s are given, %d are needed: %d more", len(shares), r.id, n, n-len(shares))
	}
	return nil
}

// maxTries bounds how many choices of shares are tried.
const maxTries = 10_000

// unwrap finds shares whose key opens the header, and gives age's key in it.
func (r *Reader) unwrap(shares []Share) (fileKey []byte, err error) {
	tries := 0
	choose(shares, int(shares[0].Threshold), func(some []Share) bool {
		var key Key
		var by age.Identity
		if key, err = combine(some); err == nil {
			by, err = key.identity()
		}
		if err == nil {
			fileKey, err = age.DecryptHeader(r.header, by)
		}
		tries++
		return err != nil && tries < maxTries
	})
	if err != nil && tries == 1 {
		return nil, fmt.Errorf("the shares do not give the key of backup %s: at least one of them is false; add others, then the false ones are left out", r.id)
	}
	if err != nil {
		return nil, fmt.Errorf("no %d of the %d shares give the key of backup %s (%d choices were tried): too many of them are false", shares[0].Threshold, len(shares), r.id, tries)
	}
	return fileKey, nil
}

// choose hands every choice of k of the shares to try, until that is false.
func choose(shares []Share, k int, try func([]Share) bool) {
	var pick func(chosen []Share, from int) bool
	pick = func(chosen []Share, from int) bool {
		if len(chosen) == k {
			return try(chosen)
		}
		for i := from; i <= len(shares)-(k-len(chosen)); i++ {
			if !pick(append(chosen[:len(chosen):len(chosen)], shares[i]), i+1) {
				return false
			}
		}
		return true
	}
	pick(nil, 0)
}

// Next goes on to the next file and gives its name and size; [io.EOF] behind the
// last one, when every byte of the backup was seen and is right.
func (r *Reader) Next() (name string, size int64, err error) {
	h, err := r.tar.Next()
	if err == io.EOF {
		return "", 0, r.end()
	}
	if err != nil {
		return "", 0, fmt.Errorf("the backup is damaged: %w", err)
	}
	if h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR {
		return "", 0, fmt.Errorf("the backup holds %.100q, which is not a plain file", h.Name)
	}
	if err := checkName(h.Name, r.names); err != nil {
		return "", 0, fmt.Errorf("the backup: %w", err)
	}
	return h.Name, h.Size, nil
}

// Read reads the file that Next came to.
func (r *Reader) Read(b []byte) (int, error) {
	n, err := r.tar.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("the backup is damaged: %w", err)
	}
	return n, err
}

// end reads what is behind the archive, which is nothing, up to the end that age
// vouches for.
func (r *Reader) end() error {
	rest, err := io.Copy(io.Discard, r.plain)
	switch {
	case err != nil:
		return fmt.Errorf("the backup is damaged: %w", err)
	case rest > 0:
		return fmt.Errorf("the backup has %d bytes behind its end", rest)
	}
	return io.EOF
}
