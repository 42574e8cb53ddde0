// SPDX-License-Identifier: Apache-2.0

// A program with functions of the kinds that node clients have, for readers of symbols: methods on pointers, closures,
// generics, functions with a small, a large and a huge frame.
package main

import (
	"fmt"
	"os"
	"sort"
)

type Chain struct{ head int }

//go:noinline
func (c *Chain) insertChain(n int) int {
	if n == 0 {
		return c.head
	}
	return c.insertChain(n-1) + n
}

//go:noinline
func largeFrame(n int) int {
	var a [400]int
	for i := range a {
		a[i] = i * n
	}
	return a[n%len(a)]
}

//go:noinline
func hugeFrame(n int) int {
	var a [40000]byte
	a[n] = byte(n)
	return len(fmt.Sprint(a[n/2], a[n]))
}

//go:noinline
func Sum[T int | float64](values []T) (sum T) {
	for _, v := range values {
		sum += v
	}
	return sum
}

func main() {
	c := &Chain{head: len(os.Args)}
	values := []int{3, 1, 2}
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	fmt.Println(c.insertChain(10), largeFrame(7), hugeFrame(9), Sum(values), Sum([]float64{0.5}))
}
