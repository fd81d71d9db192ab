package seed

import (
	"bytes"
	"fmt"
	"testing"
)

// logged is a testing.TB that records its log, and records a failure instead of ending.
type logged struct {
	testing.TB
	name string
	log  bytes.Buffer
}

func (l *logged) Helper()                         {}
func (l *logged) Name() string                    { return l.name }
func (l *logged) Logf(format string, args ...any) { fmt.Fprintf(&l.log, format+"\n", args...) }
func (l *logged) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func draw(t testing.TB) [4]uint64 {
	r := Rand(t)
	return [4]uint64{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()}
}

func TestARunCanBeRepeatedBySeed(t *testing.T) {
	t.Setenv(Variable, "18446744073709551615")
	one := &logged{name: "TestOne"}
	first := draw(one)
	if want := "seed: CONSIGNWATCH_TEST_SEED=18446744073709551615\n"; one.log.String() != want {
		t.Errorf("logged %q, want %q", one.log.String(), want)
	}
	if again := draw(&logged{name: "TestOne"}); again != first {
		t.Errorf("the same seed gives %v, then %v", first, again)
	}
	if other := draw(&logged{name: "TestOther"}); other == first {
		t.Error("two tests draw the same")
	}
	t.Setenv(Variable, "2")
	if other := draw(&logged{name: "TestOne"}); other == first {
		t.Error("two seeds give the same")
	}
}

func TestWithoutASeedEveryRunChoosesTheSame(t *testing.T) {
	t.Setenv(Variable, "")
	if first, again := draw(&logged{name: "Test"}), draw(&logged{name: "Test"}); first != again {
		t.Errorf("%v, then %v", first, again)
	}
}

func TestASeedThatIsNoNumberFailsTheTest(t *testing.T) {
	t.Setenv(Variable, "now")
	defer func() {
		if message := fmt.Sprint(recover()); message != `CONSIGNWATCH_TEST_SEED is "now": strconv.ParseUint: parsing "now": invalid syntax; want a number from 0 to 2^64-1` {
			t.Errorf("message %q", message)
		}
	}()
	Rand(&logged{name: "Test"})
}
