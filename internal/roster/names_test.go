package roster

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/zone"
)

const header = "MAC Address,Device Name\n"

func TestReadNames(t *testing.T) {
	cam, lamp := zone.MAC{0x64, 0x16, 0x66, 0x49, 0x3e, 0xcb}, zone.MAC{0, 0, 0x5e, 0, 0x53, 1}
	both := map[zone.MAC]string{cam: "camera", lamp: "lamp"}
	const rows = "64:16:66:49:3e:cb,camera\n00:00:5e:00:53:01,lamp\n"
	tests := map[string]struct {
		text string
		want map[zone.MAC]string
	}{
		"plain":            {header + rows, both},
		"header only":      {header, map[zone.MAC]string{}},
		"byte order mark":  {"\ufeff" + header + rows, both},
		"mark and quotes":  {"\ufeff\"MAC Address\",\"Device Name\"\n" + rows, both},
		"carriage returns": {strings.ReplaceAll(header+rows, "\n", "\r\n"), both},
		"no last line end": {strings.TrimSuffix(header+rows, "\n"), both},
		"empty lines":      {header + "\n" + rows + "\n\n", both},
		"quotes":           {header + "\"64:16:66:49:3e:cb\",\"camera, \"\"old\"\"\"\n", map[zone.MAC]string{cam: `camera, "old"`}},
		"swapped":          {"Device Name,MAC Address\ncamera,64:16:66:49:3e:cb\n", map[zone.MAC]string{cam: "camera"}},
		"more columns":     {"IP,MAC Address,Room,Device Name,Note\n10.0.0.1,64:16:66:49:3e:cb,hall,camera,\n", map[zone.MAC]string{cam: "camera"}},
		"ragged":           {header + "64:16:66:49:3e:cb,camera,a note,another\n", map[zone.MAC]string{cam: "camera"}},
		"case and spaces":  {" mac address , DEVICE NAME\n 64-16-66-49-3E-CB , camera \n", map[zone.MAC]string{cam: "camera"}},
		"other letters":    {header + "64:16:66:49:3e:cb,Küche 厨房\n", map[zone.MAC]string{cam: "Küche 厨房"}},
		"same name twice":  {header + "64:16:66:49:3e:cb,lamp\n00:00:5e:00:53:01,lamp\n", map[zone.MAC]string{cam: "lamp", lamp: "lamp"}},
	}
	for name, tt := range tests {
		got, err := ReadNames(strings.NewReader(tt.text))
		if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tt.want)
		}
	}
}

func TestReadNamesRefuses(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"empty":             {"", "is empty"},
		"mark only":         {"\ufeff", "is empty"},
		"no header":         {"64:16:66:49:3e:cb,camera\n", "line 1: the header"},
		"half a header":     {"MAC Address,Name\n", `"Device Name"`},
		"bad address":       {header + "\n64:16:66:49:3e:cb,camera\n64:16:66:49:3e,lamp\n", "line 4: \"64:16:66:49:3e\" is not a MAC address"},
		"long address":      {header + strings.Repeat("64:", 1<<20) + ",lamp\n", "line 2"},
		"many columns":      {strings.Repeat("a,", 1<<20) + "\n", "line 1"},
		"EUI-64":            {header + "02:00:5e:10:00:00:00:01,lamp\n", "line 2"},
		"group address":     {header + "ff:ff:ff:ff:ff:ff,lamp\n", "line 2: ff:ff:ff:ff:ff:ff is not the address"},
		"no address":        {header + "00:00:00:00:00:00,lamp\n", "line 2"},
		"one column":        {header + "64:16:66:49:3e:cb\n", "line 2: it has 1 columns"},
		"no name":           {header + "64:16:66:49:3e:cb,\n", "line 2: the name is empty"},
		"blank name":        {header + "64:16:66:49:3e:cb,\"  \"\n", "line 2: the name is empty"},
		"named twice":       {header + "64:16:66:49:3e:cb,a\n64-16-66-49-3E-CB,b\n", "line 3: 64:16:66:49:3e:cb is named twice"},
		"long name":         {header + "64:16:66:49:3e:cb," + strings.Repeat("n", 129) + "\n", "129 bytes"},
		"control character": {header + "64:16:66:49:3e:cb,a\x1b[2Jb\n", "cannot be printed"},
		"name of two lines": {header + "64:16:66:49:3e:cb,\"a\nb\"\n", "line 2: the name \"a\\nb\" holds"},
		"right to left":     {header + "64:16:66:49:3e:cb,a\u202eb\n", "cannot be printed"},
		"not UTF-8":         {header + "64:16:66:49:3e:cb,\xff\n", "not UTF-8"},
		"open quote":        {header + "\"64:16:66:49:3e:cb,camera\n", "line"},
		"stray quote":       {header + "64:16:66:49:3e:cb,cam\"era\n", "line 2"},
		"zero bytes":        {"\x00\x00\x00", "line 1: the header"},
	}
	for name, tt := range tests {
		got, err := ReadNames(strings.NewReader(tt.text))
		if err == nil || got != nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 400 {
			t.Errorf("%s: got %v, %v, want an error with %q", name, got, err, tt.want)
		}
	}
}

// TestReadNamesHuge reads files of 17 MiB: no file of names is so long.
func TestReadNamesHuge(t *testing.T) {
	line := []byte("64:16:66:49:3e:cb,camera\n")
	for name, text := range map[string][]byte{
		"one field":  bytes.Repeat([]byte("x"), 17<<20),
		"one column": append([]byte(header), bytes.Repeat([]byte("\n"), 17<<20)...),
		"open quote": append([]byte(header+`"`), bytes.Repeat(line, 17<<20/len(line))...),
	} {
		if _, err := ReadNames(bytes.NewReader(text)); err == nil || !strings.Contains(err.Error(), "longer than 16777216 bytes") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	many := bytes.NewBufferString(header)
	for i := range 100_000 {
		fmt.Fprintf(many, "00:%02x:%02x:%02x:00:00,device %d\n", i>>16, i>>8&255, i&255|1<<7, i)
	}
	if _, err := ReadNames(many); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("many lines: %v", err)
	}
}

func TestReadNamesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.csv")
	if _, err := ReadNamesFile(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(header+"x,y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadNamesFile(path); err == nil || !strings.HasPrefix(err.Error(), "device names "+path+": line 2: ") {
		t.Errorf("a bad file: %v", err)
	}
}

// FuzzReadNames: names or an error, never both or neither, and every name is
// one that the ledger takes.
func FuzzReadNames(f *testing.F) {
	f.Add([]byte(header + "64:16:66:49:3e:cb,camera\n"))
	f.Add([]byte("\ufeff\"Device Name\",x,\"MAC Address\"\r\n\"a\nb\",,00-00-5e-00-53-01\r\n"))
	f.Add([]byte(header + "64:16:66:49:3e:cb,\"camera\n"))
	f.Add([]byte(header + "6416.6649.3ecb,\xff\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		names, err := ReadNames(bytes.NewReader(text))
		if (names == nil) != (err != nil) {
			t.Fatalf("names %v and error %v", names, err)
		}
		for m, n := range names {
			if err := CheckName(n); err != nil || m.IsGroup() {
				t.Fatalf("%s is called %q: %v", m, n, err)
			}
		}
	})
}
