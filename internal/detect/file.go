package detect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"bellwether/internal/nn"
)

// A model file is, integers big-endian:
//
//	16 bytes  "bellwether/model"
//	 4        version, 2
//	 4        length of the header
//	 …        header, CBOR in core deterministic encoding (RFC 8949, 4.2.1)
//	 …        parameters, float32 little-endian, in the order of nn.Net.Params
//	32        SHA-256 of everything before
//
// There is one encoding of a model, and UnmarshalModel accepts no other.
const (
	fileMagic   = "bellwether/model"
	fileVersion = 2
	filePrefix  = len(fileMagic) + 4 + 4
	maxHeader   = 128 << 10
)

// UnmarshalModel reads a model file. It refuses another version, any changed
// byte, values that Train cannot have written, and bytes left over.
func UnmarshalModel(b []byte) (*Model, error) {
	m, err := unmarshal(b)
	if err != nil {
		return nil, fmt.Errorf("model file: %w", err)
	}
	return m, nil
}

func unmarshal(b []byte) (*Model, error) {
	head, params, err := unwrap(b)
	if err != nil {
		return nil, err
	}
	h, err := decodeHeader(head)
	if err != nil {
		return nil, err
	}
	net, err := nn.FromParams(h.Layers, params)
	if err != nil {
		return nil, err
	}
	m := &Model{
		Origin: h.Origin, Fit: h.Fit, Threshold: h.Threshold, Window: h.Window, Span: h.Span,
		Usual: h.Usual, Warnings: h.Warnings, Profile: h.Profile.clone(),
		scale: &scaler{mean: h.ScaleMean, sigma: h.ScaleSigma}, net: net,
	}
	m.scale.invert()
	if err := m.seal(); err != nil {
		return nil, err
	}
	if !bytes.Equal(m.file, b) {
		return nil, errors.New("not in the one canonical encoding")
	}
	return m, nil
}

// unwrap checks the file's frame and gives its header and parameters.
func unwrap(b []byte) (head []byte, params []float32, err error) {
	be := binary.BigEndian
	if len(b) < filePrefix+sha256.Size || string(b[:len(fileMagic)]) != fileMagic {
		return nil, nil, errors.New("not a detector model, or cut off")
	}
	if v := be.Uint32(b[len(fileMagic):]); v != fileVersion {
		return nil, nil, fmt.Errorf("version %d, this program reads version %d: learn the device again", v, fileVersion)
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, nil, errors.New("its SHA-256 does not match: the file is damaged or was changed")
	}
	size := be.Uint32(b[len(fileMagic)+4:])
	rest := body[filePrefix:]
	if size > maxHeader || int(size) > len(rest) {
		return nil, nil, fmt.Errorf("header of %d bytes in a file of %d, at most %d", size, len(b), maxHeader)
	}
	head, raw := rest[:size], rest[size:]
	if want := 4 * nn.ParamCount(layerSizes()); len(raw) != want {
		return nil, nil, fmt.Errorf("%d bytes of parameters, want %d", len(raw), want)
	}
	params = make([]float32, len(raw)/4)
	for i := range params {
		params[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return head, params, nil
}

// seal checks the model, and sets its file and digest.
func (m *Model) seal() error {
	h := m.header()
	if err := h.validate(); err != nil {
		return err
	}
	head, err := encodeHeader(h)
	if err != nil {
		return err
	}
	b := append([]byte(fileMagic), 0, 0, 0, fileVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	b = append(b, head...)
	for _, v := range m.net.Params() {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	sum := sha256.Sum256(b)
	m.file = append(b, sum[:]...)
	m.digest = sha256.Sum256(m.file)
	return nil
}
