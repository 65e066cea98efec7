# SPDX-License-Identifier: Apache-2.0
"""The scenes of the bundled clip: (voice, rate, pitch, picture, what is seen, sentences). All of it our own."""

SCENES = [
    ("en-us", 160, 50, "screen", "a television", [
        "Hello and welcome.",
        "This is a short programme with live captions."]),
    ("en-us+f2", 160, 52, "boat", "a boat on the sea under the sun", [
        "Here is the weather for today.",
        "It will be warm and sunny by the sea."]),
    ("en-us+f2", 160, 52, "rain", "a cloud with rain and an umbrella", [
        "There will be rain in the north tomorrow, so please take an umbrella."]),
    ("en-gb+m3", 155, 50, "house", "a house and a tree", [
        "My house is on the hill, next to a very old tree.",
        "I have lived here for many years."]),
    ("en-us+m2", 165, 48, "pot", "a pot on a fire", [
        "Now we make some soup.",
        "Cut the onions, add a little salt, and wait for ten minutes."]),
    ("en-us+f3", 160, 50, "ball", "a red ball on the grass", [
        "The children play with a red ball in the park."]),
    ("en-gb", 155, 48, "train", "a train", [
        "The next train to the city leaves at nine in the morning."]),
    ("en-us", 160, 50, "moon", "the moon and stars at night", [
        "Thank you for watching.",
        "Good night, and see you again soon."]),
]
