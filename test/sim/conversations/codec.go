package conversations

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// message is a method with its arguments and, for some, what it carries.
type message struct {
	*method
	channel    uint16
	args       map[string]any
	properties map[string]any
	body       string
}

// table has int32, int64, bool, string, time.Time, table and []any.
type table map[string]any

// The kinds of frames, and their last byte.
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 206
)

// encode returns the frames of the message.
func (m *message) encode() ([]byte, error) {
	var payload, out bytes.Buffer
	put(&payload, m.class, m.id)
	if err := putFields(&payload, m.fields, m.args); err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	frame(&out, frameMethod, m.channel, payload.Bytes())
	if !m.hasContent() {
		return out.Bytes(), nil
	}
	payload.Reset()
	var flags uint16
	var present []field
	for i, p := range properties {
		if _, ok := m.properties[p.name]; ok {
			flags |= 1 << (15 - i)
			present = append(present, p)
		}
	}
	put(&payload, m.class, uint16(0), uint64(len(m.body)), flags)
	if err := putFields(&payload, present, m.properties); err != nil {
		return nil, err
	}
	frame(&out, frameHeader, m.channel, payload.Bytes())
	if m.body != "" {
		frame(&out, frameBody, m.channel, []byte(m.body))
	}
	return out.Bytes(), nil
}

func frame(out *bytes.Buffer, kind byte, channel uint16, payload []byte) {
	put(out, kind, channel, uint32(len(payload)), payload, byte(frameEnd))
}

func put(out *bytes.Buffer, values ...any) {
	for _, v := range values {
		_ = binary.Write(out, binary.BigEndian, v) // a buffer takes everything
	}
}

func putFields(out *bytes.Buffer, fields []field, args map[string]any) error {
	for i := 0; i < len(fields); i++ {
		value, ok := args[fields[i].name]
		switch kind := fields[i].kind; kind {
		case "bit":
			first, bits := i, byte(0)
			for ; i < len(fields) && fields[i].kind == "bit"; i++ {
				if args[fields[i].name] == true {
					bits |= 1 << (i - first)
				}
			}
			i--
			put(out, bits)
		case "str", "text":
			if !ok {
				value = ""
			}
			text, isText := value.(string)
			if !isText {
				return fmt.Errorf("%s is no text: %v", fields[i].name, value)
			}
			putText(out, kind, text)
		case "table":
			t, _ := value.(table)
			putTable(out, t)
		default:
			if !ok {
				value = int64(0)
			}
			n, isNumber := value.(int64)
			if !isNumber {
				return fmt.Errorf("%s is no number: %v", fields[i].name, value)
			}
			putNumber(out, kind, n)
		}
	}
	return nil
}

func putText(out *bytes.Buffer, kind, text string) {
	if kind == "str" {
		put(out, byte(len(text)), []byte(text))
	} else {
		put(out, uint32(len(text)), []byte(text))
	}
}

func putNumber(out *bytes.Buffer, kind string, n int64) {
	switch kind {
	case "octet":
		put(out, uint8(n))
	case "short":
		put(out, uint16(n))
	case "long":
		put(out, uint32(n))
	default:
		put(out, uint64(n))
	}
}

func putTable(out *bytes.Buffer, t table) {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(t)) {
		putText(&b, "str", name)
		switch v := t[name].(type) {
		case int32:
			put(&b, byte('I'), v)
		case int64:
			put(&b, byte('l'), v)
		case bool:
			put(&b, byte('t'), v)
		case string:
			put(&b, byte('S'))
			putText(&b, "text", v)
		case table:
			put(&b, byte('F'))
			putTable(&b, v)
		}
	}
	put(out, uint32(b.Len()), b.Bytes())
}

// readMessage reads the next one. A message whose content is of several frames is read
// whole, so the peer may not mix channels there.
func readMessage(from io.Reader) (*message, error) {
	kind, channel, payload, err := readFrame(from)
	for err == nil && kind == frameHeartbeat {
		kind, channel, payload, err = readFrame(from)
	}
	if err != nil {
		return nil, err
	}
	if kind != frameMethod {
		return nil, fmt.Errorf("a frame of kind %d, and not a method", kind)
	}
	in := reader{payload: payload}
	class, id := uint16(in.number(2)), uint16(in.number(2))
	m := &message{method: numbered(class, id), channel: channel}
	if m.method == nil {
		return nil, fmt.Errorf("unknown method %d.%d", class, id)
	}
	if m.args = in.fields(m.fields); in.err != nil || !m.hasContent() {
		return m, in.err
	}
	if _, _, payload, err = readFrame(from); err != nil {
		return nil, err
	}
	in = reader{payload: payload}
	in.number(4)
	size, flags := in.number(8), in.number(2)
	var present []field
	for i, p := range properties {
		if flags&(1<<(15-i)) != 0 {
			present = append(present, p)
		}
	}
	m.properties = in.fields(present)
	for int64(len(m.body)) < size && in.err == nil {
		_, _, payload, in.err = readFrame(from)
		m.body += string(payload)
	}
	return m, in.err
}

func readFrame(from io.Reader) (kind byte, channel uint16, payload []byte, err error) {
	var head [7]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(from, payload); err != nil {
		return 0, 0, nil, err
	}
	last := len(payload) - 1
	if payload[last] != frameEnd {
		return 0, 0, nil, fmt.Errorf("a frame ends in %d", payload[last])
	}
	return head[0], binary.BigEndian.Uint16(head[1:]), payload[:last], nil
}

// reader takes values off a payload. After an error it returns zeroes.
type reader struct {
	payload []byte
	err     error
}

func (r *reader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.payload)) {
		r.err, r.payload = errors.New("a frame is too short"), nil
		return make([]byte, min(max(n, 0), 8))
	}
	taken := r.payload[:n]
	r.payload = r.payload[n:]
	return taken
}

func (r *reader) number(size int64) (n int64) {
	for _, b := range r.take(size) {
		n = n<<8 | int64(b)
	}
	return n
}

func (r *reader) fields(fields []field) map[string]any {
	args := map[string]any{}
	bits, left := int64(0), 0
	for _, f := range fields {
		if f.kind != "bit" {
			left = 0
		}
		switch f.kind {
		case "bit":
			if left == 0 {
				bits, left = r.number(1), 8
			}
			args[f.name] = bits&1 != 0
			bits, left = bits>>1, left-1
		case "str":
			args[f.name] = string(r.take(r.number(1)))
		case "text":
			args[f.name] = string(r.take(r.number(4)))
		case "table":
			args[f.name] = r.table()
		case "octet":
			args[f.name] = r.number(1)
		case "short":
			args[f.name] = r.number(2)
		case "long":
			args[f.name] = r.number(4)
		default:
			args[f.name] = r.number(8)
		}
	}
	return args
}

func (r *reader) table() table {
	in := reader{payload: r.take(r.number(4))}
	t := table{}
	for len(in.payload) > 0 {
		name := string(in.take(in.number(1)))
		t[name] = in.value()
	}
	r.err = errors.Join(r.err, in.err)
	return t
}

func (r *reader) value() any {
	switch kind := r.take(1)[0]; kind {
	case 't':
		return r.number(1) != 0
	case 'b', 'B':
		return r.number(1)
	case 's', 'u':
		return r.number(2)
	case 'I':
		return int32(r.number(4))
	case 'i':
		return r.number(4)
	case 'l':
		return r.number(8)
	case 'T':
		return time.Unix(r.number(8), 0)
	case 'S', 'x':
		return string(r.take(r.number(4)))
	case 'F':
		return r.table()
	case 'A':
		in := reader{payload: r.take(r.number(4))}
		var list []any
		for len(in.payload) > 0 {
			list = append(list, in.value())
		}
		return list
	case 'V':
		return nil
	default:
		r.err = fmt.Errorf("a table has a value of type %s", strconv.QuoteRune(rune(kind)))
		return nil
	}
}
