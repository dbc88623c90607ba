package proof

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// maxPlain bounds the lists of plain values: Merkle paths, of which no tree of
// fewer than 2^64 leaves has one longer than 64, and an alert's contacts.
const maxPlain = 2048

// decoder reads JSON into structs in the one form that encoding/json writes
// them in, white space aside: every field there, once, under its exact name
// and in order, those that may be empty last, no null, each value as Marshal gives it. Its errors name the
// field by its path.
type decoder struct{ in *json.Decoder }

func (d *decoder) value(v reflect.Value, path string) error {
	switch _, text := v.Addr().Interface().(encoding.TextUnmarshaler); {
	case text || v.Type() == reflect.TypeFor[[]byte](): // Hash and MAC are arrays, but texts
		return d.leaf(v, path)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(v.Elem(), path)
	case v.Kind() == reflect.Struct:
		return d.object(v, path)
	case v.Kind() == reflect.Array:
		return d.array(v, path)
	case v.Kind() == reflect.Slice:
		return d.list(v, path)
	}
	return d.leaf(v, path)
}

func (d *decoder) object(v reflect.Value, path string) error {
	if err := d.delim('{', path); err != nil {
		return err
	}
	var got json.Token // the name of the next field, nil until it is read
	for i := range v.NumField() {
		want, optional := strings.CutSuffix(v.Type().Field(i).Tag.Get("json"), ",omitempty")
		if got == nil && optional && !d.in.More() {
			continue
		}
		if got == nil {
			var err error
			if got, err = d.in.Token(); err != nil {
				return d.broken(path, err)
			}
		}
		if got != want && optional {
			continue
		}
		if got != want {
			return failf(whole(path), "there is %v where the field %q belongs", got, want)
		}
		got = nil
		if err := d.value(v.Field(i), join(path, want)); err != nil {
			return err
		}
	}
	if got != nil {
		return failf(whole(path), "there is %.40q where %q belongs", fmt.Sprint(got), '}')
	}
	return d.delim('}', path)
}

func (d *decoder) array(v reflect.Value, path string) error {
	if err := d.delim('[', path); err != nil {
		return err
	}
	for i := range v.Len() {
		if !d.in.More() {
			return failf(path, "it has %d elements: want %d", i, v.Len())
		}
		if err := d.value(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return d.delim(']', path)
}

func (d *decoder) list(v reflect.Value, path string) error {
	if err := d.delim('[', path); err != nil {
		return err
	}
	elem := v.Type().Elem()
	plain := elem.Kind() != reflect.Struct
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; d.in.More(); i++ {
		if plain && i == maxPlain {
			return failf(path, "it has more than %d elements", maxPlain)
		}
		v.Set(reflect.Append(v, reflect.Zero(elem)))
		if err := d.value(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return d.delim(']', path)
}

func (d *decoder) leaf(v reflect.Value, path string) error {
	var raw json.RawMessage
	if err := d.in.Decode(&raw); err != nil {
		return d.broken(path, err)
	}
	if string(raw) == "null" {
		return failf(path, "it is null")
	}
	if v.Kind() == reflect.Slice {
		return bytesLeaf(v, raw, path)
	}
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
		return failf(path, "%v", err)
	}
	if again, err := json.Marshal(v.Interface()); err != nil || !bytes.Equal(again, raw) {
		return failf(path, "it is not written in its canonical form")
	}
	return nil
}

// bytesLeaf reads base64, which strictly read has one form only. The model's
// file is most of a bundle, and takes one pass here instead of four.
func bytesLeaf(v reflect.Value, raw []byte, path string) error {
	if raw[0] != '"' {
		return failf(path, "it is no text")
	}
	b, err := base64.StdEncoding.Strict().AppendDecode([]byte{}, raw[1:len(raw)-1])
	if err != nil {
		return failf(path, "%v", err)
	}
	v.SetBytes(b)
	return nil
}

func (d *decoder) delim(want json.Delim, path string) error {
	got, err := d.in.Token()
	if err != nil {
		return d.broken(path, err)
	}
	if got != want {
		return failf(whole(path), "there is %.40q where %q belongs", fmt.Sprint(got), want)
	}
	return nil
}

// broken says where the JSON itself ends or is malformed.
func (d *decoder) broken(path string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return failf(whole(path), "the file ends here, after %d bytes", d.in.InputOffset())
	}
	return failf(whole(path), "byte %d: %v", d.in.InputOffset(), err)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// whole names the bundle itself where no field can be named.
func whole(path string) string {
	if path == "" {
		return "bundle"
	}
	return path
}
