package oracle

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// history is one of hand-made runs: id, slot, start, last sign of life and token.
func history(t *testing.T, runs ...string) *History {
	t.Helper()
	var journal []string
	for _, run := range runs {
		var id string
		var slot int
		var start, end time.Duration
		var token int64
		if n, err := fmt.Sscan(run, &id, &slot, &start, &end, &token); n < 4 {
			t.Fatal(run, err)
		}
		word := ""
		if token != 0 {
			word = fmt.Sprint(" 4711 ", token)
		}
		journal = append(journal, fmt.Sprintf("start %s %d %d%s", id, slot, start, word),
			fmt.Sprintf("beat %s %d %d", id, slot, end))
	}
	return read(t, journal, nil)
}

func TestCheckWithoutTokens(t *testing.T) {
	inTurn := history(t, "a 1 100 200", "b 1 300 400")
	atOnce := history(t, "a 1 100 200", "b 1 150 300")
	for _, test := range []struct {
		name    string
		history *History
		grants  []Grant
		want    string
	}{
		{"in turn", inTurn, []Grant{{ID: "a", Gone: 250}, {ID: "b"}}, ""},
		{
			"given back as the next starts", inTurn,
			[]Grant{{ID: "a", Gone: 300}, {ID: "b", Gone: 500}}, "",
		},
		{"one without a run", inTurn, []Grant{{ID: "a", Gone: 250}, {ID: "c"}}, ""},
		{
			"asked after the first", inTurn,
			[]Grant{{ID: "a", Gone: 250}, {ID: "b", Asked: 290, Gone: 500}}, "",
		},
		{
			"two holders", atOnce,
			[]Grant{{ID: "a", Gone: 210}, {ID: "b", Gone: 310}}, "not those of a lock",
		},
		{
			"two holders, of whom the first had lost the lock", atOnce,
			[]Grant{{ID: "a", Freed: 120, Gone: 210}, {ID: "b", Gone: 310}}, "",
		},
		{
			"two holders, of whom the first lost the lock later", atOnce,
			[]Grant{{ID: "a", Freed: 160, Gone: 210}, {ID: "b", Gone: 310}}, "not those of a lock",
		},
		{
			"two slots", history(t, "a 1 100 200", "b 2 150 300"),
			[]Grant{{ID: "a", Gone: 210}, {ID: "b", Gone: 310}}, "",
		},
	} {
		expect(t, test.name, test.history.Check(test.grants), test.want)
	}
}

func TestCheckAFencedMutex(t *testing.T) {
	for _, test := range []struct {
		name   string
		runs   []string
		grants []Grant
		want   string
	}{
		{
			"tokens grow", []string{"a 0 100 200 7", "b 0 300 400 9"},
			[]Grant{{ID: "a", Gone: 250}, {ID: "b", Gone: 450}}, "",
		},
		{
			"a token goes back", []string{"a 0 100 200 9", "b 0 300 400 7"},
			[]Grant{{ID: "a", Gone: 250}, {ID: "b", Gone: 450}}, "a had token 9, and b after it 7",
		},
		{
			"a token goes back after the history was deleted",
			[]string{"a 0 100 200 9", "b 0 300 400 10", "c 0 500 600 1"},
			[]Grant{{ID: "a", Gone: 250}, {ID: "b", Gone: 450}, {ID: "c", Gone: 650}},
			"a had token 9, and c after it 1",
		},
		{
			"the same token twice", []string{"a 0 100 200 7", "b 0 300 400 7"},
			[]Grant{{ID: "a", Gone: 250}, {ID: "b", Gone: 450}}, "have the token",
		},
		{
			"one without a token", []string{"a 0 100 200 7", "b 0 300 400"},
			[]Grant{{ID: "a", Gone: 250}, {ID: "b", Gone: 450}}, "b has no token",
		},
		{
			"two holders", []string{"a 0 100 200 7", "b 0 150 300 9"},
			[]Grant{{ID: "a", Gone: 210}, {ID: "b", Gone: 310}}, "not those of a fenced lock",
		},
		{
			"two holders, of whom the first had lost the lock",
			[]string{"a 0 100 200 7", "b 0 150 300 9"},
			[]Grant{{ID: "a", Freed: 110, Gone: 210}, {ID: "b", Gone: 310}}, "",
		},
		{
			"the same, and the late holder has the larger token",
			[]string{"a 0 100 200 9", "b 0 150 300 7"},
			[]Grant{{ID: "a", Freed: 110, Gone: 210}, {ID: "b", Gone: 310}},
			"a had token 9, and b after it 7",
		},
		{
			"a client that crashed: nobody knows when its lock came free",
			[]string{"a 0 100 200 7", "b 0 300 400 8"},
			[]Grant{{ID: "a"}, {ID: "b"}}, "",
		},
		{
			"a crashed client does not give back what another holds",
			[]string{"a 0 100 200 7", "b 0 300 500 8", "c 0 400 600 9"},
			[]Grant{{ID: "a"}, {ID: "b", Gone: 550}, {ID: "c", Gone: 650}},
			"not those of a fenced lock",
		},
	} {
		expect(t, test.name, history(t, test.runs...).Check(test.grants), test.want)
	}
}

func TestCheckAFencedSemaphore(t *testing.T) {
	for _, test := range []struct {
		name   string
		runs   []string
		grants []Grant
		want   string
	}{
		{
			"tokens grow over all slots", []string{"a 1 100 400 7", "b 2 200 500 8", "c 1 450 600 9"},
			[]Grant{{ID: "a", Gone: 420}, {ID: "b", Gone: 520}, {ID: "c", Gone: 620}}, "",
		},
		{
			"two that asked at once may start in another order than they got tokens",
			[]string{"a 1 100 400 8", "b 2 200 500 7"},
			[]Grant{{ID: "a", Gone: 420}, {ID: "b", Gone: 520}}, "",
		},
		{
			"one that asked later gets a smaller token, in another slot",
			[]string{"a 1 100 400 8", "b 2 200 500 7"},
			[]Grant{{ID: "a", Gone: 420}, {ID: "b", Asked: 150, Gone: 520}},
			"a had token 8, and b after it 7",
		},
		{
			"a slot has two holders", []string{"a 1 100 400 7", "b 2 200 500 8", "c 1 300 600 9"},
			[]Grant{{ID: "a", Gone: 420}, {ID: "b", Gone: 520}, {ID: "c", Gone: 620}},
			"not those of a fenced lock",
		},
	} {
		expect(t, test.name, history(t, test.runs...).Check(test.grants), test.want)
	}
}

func expect(t *testing.T, name string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
}

// The laboratory's histories are long, and twenty contenders wait at a time. In half of
// them nobody knows when the lock came free.
func TestCheckIsFast(t *testing.T) {
	const runs, waiting = 2000, 20
	var journal []string
	var grants []Grant
	for i := range runs {
		begin := 100 * (i + 1 + waiting)
		journal = append(journal, fmt.Sprintf("r%d %d %d %d %d", i, i%3, begin, begin+290, i+1))
		g := Grant{ID: fmt.Sprintf("r%d", i), Asked: time.Duration(begin - 100*waiting)}
		if i%2 == 0 {
			g.Gone = time.Duration(begin + 299)
		}
		grants = append(grants, g)
	}
	h := history(t, journal...)
	begun := time.Now()
	if err := h.Check(grants); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > checkTime/2 {
		t.Errorf("it took %s", took)
	}
	t.Log(time.Since(begun))
}
