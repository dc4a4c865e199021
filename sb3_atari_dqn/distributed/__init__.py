"""Games on other processes and machines: actors play blocks of steps, the learner stores them as if it had played."""
