package secret

import "testing"

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"amqp://me:s3cret@host/":           "amqp://me:***@host/",
		"amqp://me:a/b@c?d#e@host/ and so": "amqp://me:***@host/ and so",
		"a://u:p@h b://u:p@h":              "a://u:***@h b://u:***@h",
		"amqp://:p@host":                   "amqp://:***@host",
		"amqp://me@host/":                  "amqp://me@host/",
		"amqp://host:5672/":                "amqp://host:5672/",
		"mail me:you@host":                 "mail me:you@host",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
