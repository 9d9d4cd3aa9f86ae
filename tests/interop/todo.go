package main

import "context"

func runLocal(context.Context, []string) error      { return nil }
func runTSP(context.Context, []string) error        { return nil }
func runDERPClient(context.Context, []string) error { return nil }
func runSTUN(context.Context, []string) error       { return nil }
func runNetcheck(context.Context, []string) error   { return nil }
func runVectors(context.Context, []string) error    { return nil }
func runVersion(context.Context, []string) error    { return nil }
