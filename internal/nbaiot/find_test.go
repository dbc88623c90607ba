package nbaiot

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// loads reads a whole table and holds its size and first value against what
// was written.
func loads(t *testing.T, table Table, rows int, first float32) {
	t.Helper()
	got, err := table.Load(t.Context(), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Values) != rows || got.Values[0][0] != first {
		t.Errorf("%v: %d rows from %v, want %d from %v", table, len(got.Values), got.Values[0][0], rows, first)
	}
}

func TestFindUCI(t *testing.T) {
	dir := t.TempDir()
	published(t, filepath.Join(dir, "detection_of_IoT_botnet_attacks"))
	devices, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(devices) != 1 || devices[0].Name != "Ecobee_Thermostat" || len(devices[0].Attacks) != 10 {
		t.Fatalf("found %+v", devices)
	}
	if missing := devices[0].Missing(); len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
	loads(t, devices[0].Benign, 9, 1)
	for i, a := range devices[0].Attacks {
		if want := []int{4, 5}[i/5]; a.Botnet == "mirai" {
			loads(t, a.Table, want, 100)
		} else {
			loads(t, a.Table, want, 200)
		}
	}
}

// TestFindDevice: the directory may be one device's own.
func TestFindDevice(t *testing.T) {
	dir := t.TempDir()
	published(t, dir)
	devices, err := Find(filepath.Join(dir, "Ecobee_Thermostat"))
	if err != nil || len(devices) != 1 || devices[0].Name != "Ecobee_Thermostat" {
		t.Fatalf("found %+v, %v", devices, err)
	}
}

func TestFindKaggle(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, text(3, 7))
	z.Close()
	writeFile(t, filepath.Join(dir, "7.benign.csv.gz"), packed.Bytes())
	writeFile(t, filepath.Join(dir, "7.gafgyt.udp.csv"), []byte(text(2, 8)))
	writeFile(t, filepath.Join(dir, "11.benign.csv"), []byte(text(2, 8)))
	writeFile(t, filepath.Join(dir, "1.mirai.scan.csv"), []byte(text(2, 8)))
	for _, other := range []string{"device_info.csv", "features.csv", "1.mirai.tcp.csv", "0.benign.csv", "x.benign.csv"} {
		writeFile(t, filepath.Join(dir, other), []byte("a,b\n"))
	}
	devices, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range devices {
		names = append(names, d.Name)
	}
	if want := []string{"Danmini_Doorbell", "Samsung_SNH_1011_N_Webcam", "Device_11"}; !slices.Equal(names, want) {
		t.Fatalf("found %v, want %v", names, want)
	}
	loads(t, devices[1].Benign, 3, 7)
	want := []string{"gafgyt/combo", "gafgyt/junk", "gafgyt/scan", "gafgyt/tcp"} // and no Mirai at all
	if got := devices[1].Missing(); !slices.Equal(got, want) {
		t.Errorf("missing of the webcam: %v, want %v", got, want)
	}
	if got := devices[0].Missing(); len(got) != 10 || got[0] != "benign" || slices.Contains(got, "mirai/scan") {
		t.Errorf("missing of the doorbell: %v", got)
	}
}

func TestFindNothing(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "other.csv"), []byte("a,b\n"))
	if _, err := Find(dir); err == nil || !strings.Contains(err.Error(), "no table of N-BaIoT") {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := Find(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there is found")
	}
}

// TestDamagedArchive cuts an archive at every byte, and changes every byte of
// it: whatever is read is what was stored, or there is an error that names
// the file.
func TestDamagedArchive(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "Ecobee_Thermostat", "mirai_attacks.rar")
	whole := rar([2]string{"scan.csv", text(2, 5)})
	refused := 0
	try := func(what string, b []byte) {
		writeFile(t, path, b)
		got, err := read(t.Context(), dir)
		switch {
		case err != nil && !strings.Contains(err.Error(), "mirai_attacks.rar") && !strings.Contains(err.Error(), "no table"):
			t.Fatalf("%s: the error does not name the archive: %v", what, err)
		case err != nil:
			refused++
		case len(got.Values) != 2 || got.Values[1][3] != 6:
			t.Fatalf("%s: read %d rows, another table", what, len(got.Values))
		}
	}
	for n := 0; n < len(whole); n += 7 {
		try(fmt.Sprintf("cut at byte %d", n), whole[:n])
	}
	for n := range whole {
		b := bytes.Clone(whole)
		b[n] ^= 0x10
		try(fmt.Sprintf("changed byte %d", n), b)
	}
	if refused < len(whole) {
		t.Errorf("only %d of over %d damaged archives were refused", refused, len(whole))
	}
}

// read finds and reads the first attack's table.
func read(ctx context.Context, dir string) (Rows, error) {
	devices, err := Find(dir)
	if err != nil {
		return Rows{}, err
	}
	if len(devices[0].Attacks) == 0 {
		return Rows{}, fmt.Errorf("%s: no table in mirai_attacks.rar", dir)
	}
	return devices[0].Attacks[0].Load(ctx, 0, false)
}

// TestDamagedCompressed: half a .gz and a .zip that is none.
func TestDamagedCompressed(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, text(300, 7))
	z.Close()
	for name, content := range map[string][]byte{
		"half.csv.gz":  packed.Bytes()[:packed.Len()/2],
		"empty.csv.gz": nil,
		"none.csv.zip": []byte("PK\x03\x04"),
	} {
		path := filepath.Join(dir, name)
		writeFile(t, path, content)
		_, err := Table{Path: path}.Load(t.Context(), 0, false)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "get it again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Table{Path: filepath.Join(dir, "gone.csv")}.Load(t.Context(), 0, false)
	if err == nil || !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		if _, ok := err.(*os.PathError); ok {
			return err
		}
		err = inner.Unwrap()
	}
}
