package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "secret")
	for _, c := range []struct {
		mode        os.FileMode
		credentials string
		ok          bool
	}{
		{0o600, "", true},
		{0o400, "", true},
		{0o440, "", false},
		{0o444, "", false},
		{0o444, dir, true},
		{0o444, dir + "/", true},
		{0o444, dir + "/other", false},
		{0o666, dir, false},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", c.credentials)
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := readSecret("password file", name)
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "others may read") {
			t.Errorf("mode %04o, credentials in %q: %v", c.mode, c.credentials, err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for path, want := range map[string]bool{
		"/run/secrets/url": true, "/run/secrets/../x": false, "/run/secretsx/url": false,
		"/var/run/secrets/a/b": true, "url": false,
	} {
		if isProvided(path) != want {
			t.Errorf("%s is provided: %v", path, !want)
		}
	}
}
