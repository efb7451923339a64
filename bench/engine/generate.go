package main

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
)

// input is a generated CSV file and the users to erase from it.
type input struct {
	path         string
	size         int64
	users, items int
	ten, percent []string
}

// generate writes interactions whose users and items follow power laws, in order of time, the same for the same number of rows. There is a user for every
// twenty rows and an item for every hundred.
func generate(path string, rows int) (in input, err error) {
	in = input{path: path, users: max(rows/20, 10), items: max(rows/100, 10)}
	f, err := os.Create(path)
	if err != nil {
		return in, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	userAt, itemAt := random.Perm(in.users), random.Perm(in.items)
	kinds := []string{"click", "click", "click", "view", "view", "view", "view", "add-to-cart", "purchase", "watch"}
	fmt.Fprintln(w, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE")
	var line []byte
	for i := range rows {
		user := userAt[int(math.Pow(random.Float64(), 1.8)*float64(in.users))]
		item := itemAt[int(math.Pow(random.Float64(), 3)*float64(in.items))]
		at := 1_700_000_000 + int64(float64(i)/float64(rows)*63_072_000) + random.Int64N(3600)
		kind := kinds[random.IntN(len(kinds))]
		line = append(append(line[:0], userID(user)...), ",item-"...)
		line = fmt.Appendf(line, "%07d,%d,%s,", item, at, kind)
		if kind == "purchase" || kind == "watch" {
			line = strconv.AppendFloat(line, float64(random.IntN(50_000))/100, 'f', -1, 64)
		}
		line = append(line, '\n')
		if _, err := w.Write(line); err != nil {
			return in, err
		}
	}
	if err := w.Flush(); err != nil {
		return in, err
	}
	info, err := f.Stat()
	if err != nil {
		return in, err
	}
	in.size = info.Size()
	for i, user := range random.Perm(in.users)[:max(in.users/100, 10)] {
		if i < 10 {
			in.ten = append(in.ten, userID(user))
		}
		in.percent = append(in.percent, userID(user))
	}
	return in, nil
}

// userID spreads users over the alphabet, so that their order says nothing.
func userID(n int) string { return fmt.Sprintf("u-%012x", uint64(n+1)*0x9E3779B97F4A7C15>>16) }
