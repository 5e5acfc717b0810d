package conversations

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// step is a line of a script.
type step struct {
	client  string // or "broker", or "wait"
	channel uint16
	verb    string // a method, or what is done without one
	words   []string
	hurried bool // the next line follows without a wait for the answer
}

// parseStep reads a line. A client connects, and opens a channel, when it is first named.
//
//	a queue.declare queue=q exclusive x-max-length=0   a method, on channel 1
//	a.2 basic.publish routing-key=q mandatory body=b   on channel 2
//	a basic.get queue=q &     the next line follows at once, without a wait for answers
//	a connect heartbeat=2     shows the greeting
//	a abort                   closes the socket
//	broker alarm on           until "broker alarm off"
//	wait 500ms                shows what comes in that time
func parseStep(line string) (step, error) {
	words, err := split(line)
	if err != nil {
		return step{}, err
	}
	s := step{channel: 1}
	if last := len(words) - 1; words[last] == "&" {
		s.hurried, words = true, words[:last]
	}
	if len(words) < 2 {
		return step{}, fmt.Errorf("nothing to do in %q", line)
	}
	client, channel, ok := strings.Cut(words[0], ".")
	if ok {
		s.channel = uint16(number(channel))
	}
	s.client, s.verb, s.words = client, words[1], words[2:]
	return s, nil
}

// repeated is for long words: {é*200}.
var repeated = regexp.MustCompile(`\{([^{}*]+)\*(\d+)\}`)

// split separates words, of which a part may be in double quotes.
func split(line string) (words []string, err error) {
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		var word strings.Builder
		for rest != "" && rest[0] != ' ' {
			if rest[0] != '"' {
				word.WriteByte(rest[0])
				rest = rest[1:]
				continue
			}
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", rest, err)
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			word.WriteString(text)
			rest = rest[len(quoted):]
		}
		words = append(words, repeated.ReplaceAllStringFunc(word.String(), func(s string) string {
			part := repeated.FindStringSubmatch(s)
			return strings.Repeat(part[1], int(number(part[2])))
		}))
	}
	return words, nil
}

// request makes a message of a step. A word is a flag, or NAME=VALUE. Names that the
// method does not have are those of a table among its arguments. A message has its
// properties, header.NAME, and body.
func (s step) request() (*message, error) {
	m := &message{
		method: named(s.verb), channel: s.channel,
		args: map[string]any{}, properties: map[string]any{},
	}
	if m.method == nil {
		return nil, fmt.Errorf("no such method: %q", s.verb)
	}
	for _, word := range s.words {
		name, value, _ := strings.Cut(word, "=")
		header, isHeader := strings.CutPrefix(name, "header.")
		switch {
		case name == "body":
			m.body = value
		case isHeader:
			addTo(m.properties, "headers", header, value)
		case set(m.args, m.fields, name, value):
		case m.hasContent() && set(m.properties, properties, name, value):
		case s.takesTable():
			addTo(m.args, "arguments", name, value)
		default:
			return nil, fmt.Errorf("%s has no argument %q", s.verb, name)
		}
	}
	return m, nil
}

func (s step) takesTable() bool {
	return slices.ContainsFunc(named(s.verb).fields,
		func(f field) bool { return f.name == "arguments" })
}

func set(args map[string]any, fields []field, name, value string) bool {
	for _, f := range fields {
		switch {
		case f.name != name:
			continue
		case f.kind == "bit":
			args[name] = true
		case f.kind == "str", f.kind == "text":
			args[name] = value
		default:
			args[name] = number(value)
		}
		return true
	}
	return false
}

// addTo adds to a table: 7 is of 32 bits, 7l of 64, and true and false are flags.
func addTo(args map[string]any, name, key, value string) {
	t, _ := args[name].(table)
	if t == nil {
		t = table{}
		args[name] = t
	}
	if n, err := strconv.ParseInt(value, 10, 32); err == nil {
		t[key] = int32(n)
	} else if n, err := strconv.ParseInt(strings.TrimSuffix(value, "l"), 10, 64); err == nil {
		t[key] = n
	} else if flag, err := strconv.ParseBool(value); err == nil {
		t[key] = flag
	} else {
		t[key] = value
	}
}

// String shows what the broker has sent, without what differs each time.
func (m *message) String() string {
	words := []string{m.name}
	words = append(words, show(m.fields, m.args)...)
	if m.hasContent() {
		for _, word := range show(properties, m.properties) {
			if word != "headers={}" { // RabbitMQ adds it, or not, as it likes
				words = append(words, word)
			}
		}
		words = append(words, "body="+strconv.Quote(m.body))
	}
	return strings.Join(words, " ")
}

func show(fields []field, args map[string]any) (words []string) {
	for _, f := range fields {
		value, ok := args[f.name]
		if !ok || f.name == "-" {
			continue
		}
		switch v := value.(type) {
		case bool:
			if v {
				words = append(words, f.name)
			}
		case string:
			words = append(words, f.name+"="+quote(changing(v)))
		case table:
			words = append(words, f.name+"="+showValue(v))
		default:
			words = append(words, fmt.Sprintf("%s=%v", f.name, v))
		}
	}
	return words
}

// showValue shows a value of a table with its type, as far as it is in doubt.
func showValue(value any) string {
	switch v := value.(type) {
	case table:
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, name+"="+showValue(v[name]))
		}
		return "{" + strings.Join(pairs, " ") + "}"
	case []any:
		var list []string
		for _, element := range v {
			list = append(list, showValue(element))
		}
		return "[" + strings.Join(list, " ") + "]"
	case int64:
		return strconv.FormatInt(v, 10) + "l"
	case string:
		return strconv.Quote(changing(v))
	case time.Time:
		return "TIME"
	default:
		return fmt.Sprint(v)
	}
}

func quote(text string) string {
	if text != "" && !strings.ContainsAny(text, " \"\n") && strconv.Quote(text) == `"`+text+`"` {
		return text
	}
	return strconv.Quote(text)
}

// invented are names that the broker makes up, and Erlang's of processes.
var invented = regexp.MustCompile(
	`(amq\.ctag-|amq\.gen-|amq\.rabbitmq\.reply-to\.)[A-Za-z0-9_\-=+/.]+|<\d+\.\d+\.\d+>`)

func changing(text string) string {
	return invented.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == '<' {
			return "<pid>"
		}
		return invented.FindStringSubmatch(s)[1] + "*"
	})
}
