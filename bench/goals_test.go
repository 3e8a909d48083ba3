package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGoalReached(t *testing.T) {
	t.Parallel()
	g := goal{must: 0.5, aim: 1.1}
	for ratio, want := range map[float64]string{0.49: "no", 0.5: "must", 1.09: "must", 1.1: "aim", 7: "aim"} {
		require.Equal(t, want, g.reached(ratio), "%v", ratio)
	}
	require.Equal(t, "-", g.reached(math.NaN()))
}

// A goal for a contender that nobody measures would never be seen to be missed.
func TestGoalsAreForContendersThatTakePart(t *testing.T) {
	t.Parallel()
	b := &bench{settings: settings{rounds: 1}}
	found := 0
	for _, s := range b.logSettings() {
		found += requireRows(t, s.table)
	}
	for _, s := range b.ingestSettings() {
		found += requireRows(t, s.table)
	}
	require.Equal(t, 1+4+4+2+2, found)
}

func requireRows(t *testing.T, of *table) int {
	t.Helper()
	for name, g := range of.goals {
		require.NotNil(t, of.row(name), "%s: %s", of.title, name)
		require.Less(t, g.must, g.aim)
	}
	return len(of.goals)
}

func TestTableTextWithGoals(t *testing.T) {
	t.Parallel()
	times := twoRows(true).wants(map[string]goal{"limit": {must: 1.5, aim: 3}}).atMost(9)
	var text strings.Builder
	require.NoError(t, times.write(&text))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Equal(t, []string{"must", "aim", "reached"}, lastFields(lines[1], 3))
	require.Equal(t, []string{"2.00", "1.50", "3.00", "must"}, lastFields(lines[2], 4))
	require.Equal(t, []string{"1.00", "≤", "9.00", "no"}, lastFields(lines[3], 4), "the median is 10")
}

func lastFields(line string, n int) []string {
	fields := strings.Fields(line)
	return fields[len(fields)-n:]
}

func TestTableWithoutGoalsHasNoColumnsForThem(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	require.NoError(t, twoRows(false).write(&text))
	require.NotContains(t, text.String(), "reached")
}
