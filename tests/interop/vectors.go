package main

import "context"

func runVectors(context.Context, []string) error { return nil }
