package mapping

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Each file in testdata/invalid says in its first line which message it must cause, and on which line of the file.
func TestEachMistakeInAMappingIsReportedWithItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _ := bufio.NewReader(bytes.NewReader(text)).ReadString('\n')
			want := "m.yml:" + strings.TrimSpace(strings.TrimPrefix(first, "# "))
			_, err = Parse("m.yml", text, catalog.Shipped())
			if err == nil {
				t.Fatalf("it was taken, want: %s", want)
			}
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("the message is\n%v\nwant\n%s", err, want)
			}
		})
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	_, err := Parse("m.yml", []byte("events:\n  - {type: a.b}\n  - {type: a b, feeds: [{metric: x_total}]}\n"), catalog.Shipped())
	if n := strings.Count(err.Error(), "m.yml:"); n != 3 {
		t.Errorf("%d mistakes were reported, want 3:\n%v", n, err)
	}
}
