// Calls the step of the shared library as a pipeline does: groovy jenkins.groovy FILE OPTIONS COMMAND.
// Its sh runs the script here, with the options that Jenkins gives to the shell.
def steps = new Binding(sh: { String script ->
  def shell = new ProcessBuilder('sh', '-xe', '-c', script).inheritIO().start()
  if (shell.waitFor() != 0) System.exit(shell.exitValue())
})
new GroovyShell(steps).parse(new File(args[0])).call(args[1], args[2])
