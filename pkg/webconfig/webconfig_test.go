package webconfig

import (
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

func TestTheFileHoldsAHashThatFitsThePassword(t *testing.T) {
	text, err := BasicAuth("prometheus", "secret: #1")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(config.Users["prometheus"]), []byte("secret: #1")); err != nil {
		t.Errorf("%v:\n%s", err, text)
	}
}

func TestAPasswordThatIsTooLongIsRefused(t *testing.T) {
	if _, err := BasicAuth("prometheus", string(make([]byte, 73))); err == nil {
		t.Error("bcrypt sees 72 bytes of it, and the rest would not matter")
	}
}
