package follower

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/zone"
)

// sharesDir is where a follower keeps the shares of its zone's backups, each in a
// file of its own, named by the H-ID of the message that brought it.
const sharesDir = "shares"

// shareTitle begins a share's text (docs/format/backup.md).
var shareTitle = []byte("bellwether share ")

// keepShare keeps a share that the master hands out, before it is acknowledged.
// Nothing else of a member's messages is looked into.
func (f *Follower) keepShare(m *Message) error {
	if m.From != zone.Master || m.Op != contract.OpSend || !m.Sealed || m.Closed != nil || !bytes.HasPrefix(m.Content, shareTitle) {
		return nil
	}
	dir := filepath.Join(f.dir, sharesDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, hex.EncodeToString(m.ID[:8])+".txt"), m.Content, 0o600)
}

// Shares gives the texts of the shares that the follower in dir keeps, by the
// names of their files.
func Shares(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, sharesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		text, readErr := os.ReadFile(filepath.Join(dir, sharesDir, e.Name()))
		if err = errors.Join(err, readErr); readErr == nil && bytes.HasPrefix(text, shareTitle) {
			out = append(out, string(text))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("shares: %w", err)
	}
	return out, nil
}
